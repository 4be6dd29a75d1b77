#include "cuda_limits.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace voxshift::bench {
namespace {

void require(bool good, const char* what) { check<DeviceError>(good, "[limits] ", what, " failed"); }

double best_seconds(const std::function<void()>& work) {
  cudaEvent_t start{}, stop{};
  cudaEventCreate(&start);
  cudaEventCreate(&stop);
  float best = 1e9f;
  for (int run = 0; run < 12; ++run) {
    cudaEventRecord(start);
    work();
    cudaEventRecord(stop);
    require(cudaEventSynchronize(stop) == cudaSuccess, "the work");
    float ms = 0;
    cudaEventElapsedTime(&ms, start, stop);
    best = std::min(best, ms);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  return 1e-3 * best;
}

// c = a * b with b [depth, columns], all of f16, summed in f32, rows after rows.
void multiply(cublasHandle_t handle, std::int64_t rows, std::int64_t depth, std::int64_t columns, const void* a,
              const void* b, void* c) {
  const float one = 1, zero = 0;
  const auto m = static_cast<int>(rows), k = static_cast<int>(depth), n = static_cast<int>(columns);
  require(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, &one, b, CUDA_R_16F, n, a, CUDA_R_16F, k, &zero, c,
                       CUDA_R_16F, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS,
          "the product");
}

}  // namespace

Limits measure_limits() {
  constexpr int kSize = 8192;
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  void* memory = nullptr;
  require(cudaMalloc(&memory, 2 * kBytes) == cudaSuccess, "2 GiB of memory");
  // Random bits below 2^14: halves of [0, 2), as numbers as any in power drawn.
  std::vector<unsigned short> values(kBytes / 4);
  unsigned state = 1;
  for (unsigned short& value : values)
    value = static_cast<unsigned short>((state = state * 1664525u + 1013904223u) >> 18);
  auto* base = static_cast<char*>(memory);
  cudaMemcpy(base, values.data(), kBytes / 2, cudaMemcpyHostToDevice);
  cublasHandle_t handle{};
  require(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS, "cuBLAS");
  const std::size_t matrix = std::size_t{2} * kSize * kSize;
  const double product =
      best_seconds([&] { multiply(handle, kSize, kSize, kSize, base, base + matrix, base + kBytes); });
  const double copy = best_seconds([&] { cudaMemcpyAsync(base + kBytes, base, kBytes, cudaMemcpyDeviceToDevice); });
  cublasDestroy(handle);
  cudaFree(memory);
  return {2.0 * kSize * kSize * kSize / product, 2.0 * static_cast<double>(kBytes) / copy};
}

double offset_products_seconds(const std::vector<std::int64_t>& rows, std::int64_t channels) {
  const std::size_t row = 2 * static_cast<std::size_t>(channels);
  std::size_t all = 0;
  for (const std::int64_t count : rows) all += static_cast<std::size_t>(count);
  const std::size_t weights = static_cast<std::size_t>(channels) * row;
  void* memory = nullptr;
  require(cudaMalloc(&memory, 2 * all * row + rows.size() * weights) == cudaSuccess, "memory of the rows");
  auto* base = static_cast<char*>(memory);
  cublasHandle_t handle{};
  require(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS, "cuBLAS");
  const double seconds = best_seconds([&] {
    std::size_t first = 0;
    for (std::size_t k = 0; k < rows.size(); ++k) {
      if (rows[k] > 0)
        multiply(handle, rows[k], channels, channels, base + first * row, base + 2 * all * row + k * weights,
                 base + (all + first) * row);
      first += static_cast<std::size_t>(rows[k]);
    }
  });
  cublasDestroy(handle);
  cudaFree(memory);
  return seconds;
}

OwnStream::OwnStream() {
  cudaStream_t stream{};
  require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "a stream");
  stream_ = stream;
}
OwnStream::~OwnStream() { cudaStreamDestroy(static_cast<cudaStream_t>(stream_)); }

}  // namespace voxshift::bench
