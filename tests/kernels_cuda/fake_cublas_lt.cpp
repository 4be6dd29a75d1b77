// A library with the functions of cuBLASLt that voxshift calls. It multiplies in the host's memory, one number after
// the other, and is as hard to please as the documentation of cuBLASLt allows.
//
// Its algorithms: 1 cuts the sum over the depth, 2 takes no single row, 3 takes all products, 4 gradients. A depth of
// 13 has none, one of 14 is an error, one of 15 fails when it is run.
#include "fake_cublas_lt.h"

#include <cublasLt.h>

#include <cstdint>
#include <cstring>

struct cublasLtContext {
  int number;
};

namespace {

struct FakeProduct {
  cublasComputeType_t compute;
  cudaDataType scale;
  cublasOperation_t b_operation = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType bias_type = CUDA_R_64F;
  const void* bias = nullptr;
};
struct FakeLayout {
  cudaDataType type;
  std::int64_t rows, columns, stride;
};
struct FakePreference {
  std::uint64_t workspace = 0;
  std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK, alignments[4] = {256, 256, 256, 256};
};

voxshift::FakeReport fake_report;
constexpr std::size_t kFakeWorkspace = 1000;

template <class T, class Handle>
T& as(Handle handle) {
  return *reinterpret_cast<T*>(handle);
}
template <class T>
bool read(T& to, const void* from, std::size_t bytes) {
  if (bytes != sizeof(T)) return false;
  std::memcpy(&to, from, bytes);
  return true;
}
cublasStatus_t status(bool good) { return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE; }

float number(const void* base, cudaDataType type, std::int64_t at) {
  return type == CUDA_R_16F ? static_cast<float>(static_cast<const voxshift::FakeHalf*>(base)[at])
                            : static_cast<const float*>(base)[at];
}
void set_number(void* base, cudaDataType type, std::int64_t at, float value) {
  if (type == CUDA_R_16F) {
    static_cast<voxshift::FakeHalf*>(base)[at] = voxshift::FakeHalf(value);
  } else {
    static_cast<float*>(base)[at] = value;
  }
}

bool fits(const FakeProduct& p, const FakeLayout& a, const FakeLayout& b, const FakeLayout& d) {
  const bool transposed = p.b_operation == CUBLAS_OP_T;
  return a.rows == d.rows && a.columns == (transposed ? b.columns : b.rows) &&
         d.columns == (transposed ? b.rows : b.columns) && a.stride >= a.rows && b.stride >= b.rows &&
         d.stride >= d.rows && a.type == b.type && p.scale == CUDA_R_32F && (d.type == a.type || d.type == CUDA_R_32F);
}

bool is_aligned(const void* base, const FakeLayout& layout, std::uint32_t alignment) {
  const std::int64_t bytes = layout.stride * (layout.type == CUDA_R_16F ? 2 : 4);
  return reinterpret_cast<std::uintptr_t>(base) % alignment == 0 && bytes % alignment == 0;
}

cublasLtMatmulHeuristicResult_t result_of(std::uint64_t algorithm, const FakePreference& preference) {
  cublasLtMatmulHeuristicResult_t result{};
  result.state = algorithm == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
  result.algo.data[0] = algorithm;
  std::uint64_t alignments = 0;
  for (const std::uint32_t alignment : preference.alignments) alignments = alignments * 256 + alignment;
  result.algo.data[1] = alignments;
  result.workspaceSize = kFakeWorkspace;
  return result;
}

}  // namespace

extern "C" {

const voxshift::FakeReport* fake_cublas_lt_report() { return &fake_report; }

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION + 10000 * FAKE_NEWER; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext{7};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  auto* const made = new FakeProduct;
  made->compute = compute;
  made->scale = scale;
  *product = reinterpret_cast<cublasLtMatmulDesc_t>(made);
  ++fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  auto& p = as<FakeProduct>(product);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) return status(read(p.b_operation, value, bytes));
  if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) return status(read(p.epilogue, value, bytes));
  if (attribute == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE) return status(read(p.bias_type, value, bytes));
  if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) return status(read(p.bias, value, bytes));
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  delete &as<FakeProduct>(product);
  --fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t stride) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(
      new FakeLayout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), stride});
  ++fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &as<FakeLayout>(layout);
  --fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new FakePreference);
  ++fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  auto& p = as<FakePreference>(preference);
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return status(read(p.workspace, value, bytes));
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return status(read(p.reductions, value, bytes));
  const int operand = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  return status(operand >= 0 && operand < 4 && read(p.alignments[operand], value, bytes));
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &as<FakePreference>(preference);
  --fake_report.alive;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a_layout, cublasLtMatrixLayout_t b_layout,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d_layout,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  const auto& p = as<FakeProduct>(product);
  const auto &a = as<FakeLayout>(a_layout), &b = as<FakeLayout>(b_layout), &d = as<FakeLayout>(d_layout);
  const auto& wanted = as<FakePreference>(preference);
  const bool gradient = p.b_operation == CUBLAS_OP_T;
  ++fake_report.asked;
  fake_report.rows_asked = b.columns;
  fake_report.compute = p.compute;
  fake_report.reductions = wanted.reductions;
  *count = 0;
  if (handle->number != 7 || most < 4 || !fits(p, a, b, d) || wanted.workspace < kFakeWorkspace ||
      !is_aligned(nullptr, a, wanted.alignments[0]) || !is_aligned(nullptr, b, wanted.alignments[1]) ||
      !is_aligned(nullptr, d, wanted.alignments[3]))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!gradient && b.rows == 14) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!gradient && b.rows == 13) return CUBLAS_STATUS_SUCCESS;
  for (const std::uint64_t algorithm : {0, 1, 2, 3})
    results[(*count)++] = result_of(gradient && algorithm > 0 ? 4 : algorithm, wanted);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  *result = {};
  result->workspaceSize = kFakeWorkspace;
  result->state =
      algorithm->data[0] == 2 && as<FakeLayout>(b).columns == 1 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
  return result->state;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    std::size_t bytes, std::size_t* written) {
  if (attribute != CUBLASLT_ALGO_CONFIG_SPLITK_NUM || bytes != sizeof(std::int32_t)) return CUBLAS_STATUS_INVALID_VALUE;
  const std::int32_t parts = algorithm->data[0] == 1 ? 4 : 1;
  std::memcpy(value, &parts, bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

#ifndef FAKE_LACKS_ONE
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const auto& p = as<FakeProduct>(product);
  const auto &al = as<FakeLayout>(a_layout), &bl = as<FakeLayout>(b_layout), &dl = as<FakeLayout>(d_layout);
  const bool gradient = p.b_operation == CUBLAS_OP_T;
  float one = 0, zero = 1;
  std::memcpy(&one, alpha, sizeof(one));
  std::memcpy(&zero, beta, sizeof(zero));
  fake_report.algorithm = static_cast<int>(algorithm->data[0]);
  fake_report.stream = stream;
  const std::uint64_t alignments = algorithm->data[1];
  if (!fits(p, al, bl, dl) || one != 1 || zero != 0 || c != d || workspace_bytes < kFakeWorkspace ||
      reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0 || workspace == nullptr ||
      !is_aligned(a, al, alignments >> 24 & 255) || !is_aligned(b, bl, alignments >> 16 & 255) ||
      !is_aligned(d, dl, alignments & 255))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!gradient && bl.rows == 15) return CUBLAS_STATUS_EXECUTION_FAILED;
  const bool biased = (p.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0, relu = (p.epilogue & CUBLASLT_EPILOGUE_RELU) != 0;
  if (biased && (p.bias == nullptr || p.bias_type != dl.type)) return CUBLAS_STATUS_INVALID_VALUE;
  for (std::int64_t i = 0; i < dl.rows; ++i)
    for (std::int64_t j = 0; j < dl.columns; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < al.columns; ++k)
        sum += number(a, al.type, i + k * al.stride) *
               number(b, bl.type, gradient ? j + k * bl.stride : k + j * bl.stride);
      if (biased) sum += number(p.bias, dl.type, i);
      set_number(d, dl.type, i + j * dl.stride, relu && sum < 0 ? 0.0f : sum);
    }
  return CUBLAS_STATUS_SUCCESS;
}
#endif

}  // extern "C"
