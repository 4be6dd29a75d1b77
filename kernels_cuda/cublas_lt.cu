#include <cublasLt.h>
#include <dlfcn.h>
#include <voxshift/kernels_cuda/cublas_lt.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace voxshift::cuda {

struct CublasLt::Functions {
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescSetAttribute) set_product;
  decltype(&cublasLtMatmulDescDestroy) destroy_product;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
  decltype(&cublasLtMatmulAlgoCheck) check;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) configuration;
  decltype(&cublasLtMatmul) multiply;
};

namespace {

constexpr std::int64_t kRowsAsked = 65536, kLeastRowsAsked = 1024;
constexpr std::size_t kMostWorkspace = std::size_t{32} << 20;
constexpr int kMostAlgorithms = 16;

template <class F>
bool find_function(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

bool find_functions(void* library, CublasLt::Functions& f) {
  return find_function(library, "cublasLtGetVersion", f.version) &&
         find_function(library, "cublasLtCreate", f.create) && find_function(library, "cublasLtDestroy", f.destroy) &&
         find_function(library, "cublasLtMatmulDescCreate", f.create_product) &&
         find_function(library, "cublasLtMatmulDescSetAttribute", f.set_product) &&
         find_function(library, "cublasLtMatmulDescDestroy", f.destroy_product) &&
         find_function(library, "cublasLtMatrixLayoutCreate", f.create_layout) &&
         find_function(library, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
         find_function(library, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
         find_function(library, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
         find_function(library, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
         find_function(library, "cublasLtMatmulAlgoGetHeuristic", f.choose) &&
         find_function(library, "cublasLtMatmulAlgoCheck", f.check) &&
         find_function(library, "cublasLtMatmulAlgoConfigGetAttribute", f.configuration) &&
         find_function(library, "cublasLtMatmul", f.multiply);
}

void* open_library(const std::string& name) {
  void* const loaded = dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD);
  return loaded != nullptr ? loaded : dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
}

void require(cublasStatus_t status, const char* what) {
  check<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "[dense_product] cuBLASLt: ", what, " failed with status ",
                     static_cast<int>(status), "; with VOXSHIFT_DENSE=own voxshift's own kernels do it");
}

cudaDataType type_of(DType dtype) { return dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_32F; }

// As cuBLAS sees rows: a matrix by columns, number c of row r at r * stride + c.
struct DenseMatrix {
  DType dtype;
  std::int64_t channels, rows, stride;
};

/// D = A op(B), of matrices by columns: a product is out^T = W^T in^T, a gradient out^T = grad^T in.
struct Multiplication {
  DenseMatrix a, b, d;
  bool b_transposed = false, bias = false, relu = false;
};

// What decides the algorithm.
struct Kind {
  bool gradient = false, bias = false, relu = false;
  DType in = DType::kF32, out = DType::kF32;
  std::int64_t rows = 0, depth = 0, columns = 0;  // as asked
  std::array<std::int64_t, 3> alignments{};       // of A, B and D

  auto operator<=>(const Kind&) const = default;
};

struct Algorithm {
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

Kind kind_of(const DenseProduct& x) {
  return {false,      x.bias != nullptr, x.relu,
          x.in.dtype, x.out.dtype,       kRowsAsked,
          x.depth,    x.columns,         {x.weight.alignment(), x.in.alignment(), x.out.alignment()}};
}

DenseRows<void> rows_of_gradient(const DenseGradient& x) { return {x.out, x.grad_channels, DType::kF32}; }

Kind kind_of(const DenseGradient& x) {
  const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(x.rows)));
  return {true,          false,           false,
          x.in.dtype,    DType::kF32,     std::max(rows, kLeastRowsAsked),
          x.in_channels, x.grad_channels, {x.grad.alignment(), x.in.alignment(), rows_of_gradient(x).alignment()}};
}

// The shortest stride of rows of that alignment.
std::int64_t stride_asked(std::int64_t channels, std::int64_t alignment, DType dtype) {
  const std::int64_t unit = std::max<std::int64_t>(alignment / static_cast<std::int64_t>(size_of(dtype)), 1);
  return (channels + unit - 1) / unit * unit;
}

// The one of which the library is asked, with `rows` rows.
Multiplication asked(const Kind& k, std::int64_t rows) {
  const std::int64_t a = stride_asked(k.columns, k.alignments[0], k.in);
  const std::int64_t b = stride_asked(k.depth, k.alignments[1], k.in);
  const std::int64_t d = stride_asked(k.columns, k.alignments[2], k.out);
  Multiplication m{{k.in, k.columns, k.depth, a}, {k.in, k.depth, rows, b}, {k.out, k.columns, rows, d}};
  if (k.gradient) {
    m.a.rows = rows;
    m.d.rows = k.depth;
    m.b_transposed = true;
  }
  m.bias = k.bias;
  m.relu = k.relu;
  return m;
}

Multiplication multiplication_of(const DenseProduct& x) {
  Multiplication m{{x.weight.dtype, x.columns, x.depth, x.weight.stride},
                   {x.in.dtype, x.depth, x.rows, x.in.stride},
                   {x.out.dtype, x.columns, x.rows, x.out.stride}};
  m.bias = x.bias != nullptr;
  m.relu = x.relu;
  return m;
}

Multiplication multiplication_of(const DenseGradient& x) {
  return {{x.grad.dtype, x.grad_channels, x.rows, x.grad.stride},
          {x.in.dtype, x.in_channels, x.rows, x.in.stride},
          {DType::kF32, x.grad_channels, x.in_channels, x.grad_channels},
          true};
}

/// A multiplication in the library's words.
class Described {
 public:
  Described(const CublasLt::Functions& f, const Multiplication& m) : f_(f) {
    const bool f32 = m.a.dtype == DType::kF32;
    require(f.create_product(&product, f32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F, CUDA_R_32F),
            "a description");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    if (m.b_transposed) set(CUBLASLT_MATMUL_DESC_TRANSB, transposed);
    const cublasLtEpilogue_t epilogue = m.bias && m.relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                        : m.bias         ? CUBLASLT_EPILOGUE_BIAS
                                        : m.relu         ? CUBLASLT_EPILOGUE_RELU
                                                         : CUBLASLT_EPILOGUE_DEFAULT;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const cudaDataType bias_type = type_of(m.d.dtype);
    if (m.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
    layout(m.a, a);
    layout(m.b, b);
    layout(m.d, d);
  }
  ~Described() {
    if (d != nullptr) f_.destroy_layout(d);
    if (b != nullptr) f_.destroy_layout(b);
    if (a != nullptr) f_.destroy_layout(a);
    f_.destroy_product(product);
  }
  Described(const Described&) = delete;
  Described& operator=(const Described&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    require(f_.set_product(product, attribute, &value, sizeof(value)), "an attribute");
  }

  cublasLtMatmulDesc_t product{};
  cublasLtMatrixLayout_t a{}, b{}, d{};

 private:
  void layout(const DenseMatrix& m, cublasLtMatrixLayout_t& made) {
    require(f_.create_layout(&made, type_of(m.dtype), static_cast<std::uint64_t>(m.channels),
                             static_cast<std::uint64_t>(m.rows), m.stride),
            "a layout");
  }

  const CublasLt::Functions& f_;
};

class Preference {
 public:
  Preference(const CublasLt::Functions& f, const Kind& kind) : f_(f) {
    require(f.create_preference(&preference), "a preference");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kMostWorkspace});
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(kind.gradient ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                                 : CUBLASLT_REDUCTION_SCHEME_NONE));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(kind.alignments[0]));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(kind.alignments[1]));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(kind.alignments[2]));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(kind.alignments[2]));
  }
  ~Preference() { f_.destroy_preference(preference); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;

  cublasLtMatmulPreference_t preference{};

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    require(f_.set_preference(preference, attribute, &value, sizeof(value)), "a preference");
  }

  const CublasLt::Functions& f_;
};

}  // namespace

class CublasLt::Impl {
 public:
  Impl(std::shared_ptr<const Functions> functions, cublasLtHandle_t handle)
      : functions_(std::move(functions)), handle_(handle) {}
  ~Impl() { functions_->destroy(handle_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// Null: there is none. It is asked for once.
  const Algorithm* algorithm(const Kind& kind) {
    const std::lock_guard lock(choosing_);
    const auto [entry, added] = chosen_.try_emplace(kind);
    if (added) entry->second = choose(kind);
    return entry->second ? &*entry->second : nullptr;
  }

  void run(const Kind& kind, const Multiplication& m, const void* a, const void* b, void* d, const void* bias,
           void* workspace, void* stream) {
    const Algorithm* const found = algorithm(kind);
    check<DeviceError>(found != nullptr, "[dense_product] cuBLASLt has no algorithm for the call");
    Described described(*functions_, m);
    if (bias != nullptr) described.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float one = 1, zero = 0;
    require(functions_->multiply(handle_, described.product, &one, a, described.a, b, described.b, &zero, d,
                                 described.d, d, described.d, &found->algorithm, workspace, found->workspace,
                                 static_cast<cudaStream_t>(stream)),
            "a product");
  }

 private:
  std::optional<Algorithm> choose(const Kind& kind) const {
    const Described described(*functions_, asked(kind, kind.rows));
    const Preference preference(*functions_, kind);
    std::array<cublasLtMatmulHeuristicResult_t, kMostAlgorithms> results{};
    int count = 0;
    if (functions_->choose(handle_, described.product, described.a, described.b, described.d, described.d,
                           preference.preference, kMostAlgorithms, results.data(), &count) != CUBLAS_STATUS_SUCCESS)
      return std::nullopt;
    for (int i = 0; i < count; ++i) {
      const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
      if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kMostWorkspace &&
          (kind.gradient || takes_any_rows(kind, result.algo)))
        return Algorithm{result.algo, result.workspaceSize};
    }
    return std::nullopt;
  }

  bool takes_any_rows(const Kind& kind, const cublasLtMatmulAlgo_t& algorithm) const {
    std::int32_t parts = 0;
    std::size_t written = 0;
    if (functions_->configuration(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof(parts), &written) !=
            CUBLAS_STATUS_SUCCESS ||
        parts > 1)
      return false;
    const Described one_row(*functions_, asked(kind, 1));
    cublasLtMatmulHeuristicResult_t result{};
    return functions_->check(handle_, one_row.product, one_row.a, one_row.b, one_row.d, one_row.d, &algorithm,
                             &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kMostWorkspace;
  }

  std::shared_ptr<const Functions> functions_;
  cublasLtHandle_t handle_;
  std::mutex choosing_;
  std::map<Kind, std::optional<Algorithm>> chosen_;
};

std::vector<std::string> CublasLt::names() { return {"libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR)}; }

std::shared_ptr<const CublasLt::Functions> CublasLt::open(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    void* const library = open_library(name);
    if (library == nullptr) continue;
    Functions functions{};
    if (find_functions(library, functions) && functions.version() / 10000 == CUBLAS_VER_MAJOR)
      return std::make_shared<const Functions>(functions);  // it stays open
    dlclose(library);
  }
  return nullptr;
}

std::unique_ptr<CublasLt> CublasLt::create(std::shared_ptr<const Functions> functions) {
  cublasLtHandle_t handle{};
  if (functions == nullptr || functions->create(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  return std::unique_ptr<CublasLt>(new CublasLt(std::make_unique<Impl>(std::move(functions), handle)));
}

CublasLt::CublasLt(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CublasLt::~CublasLt() = default;

std::optional<std::size_t> CublasLt::workspace(const DenseProduct& x) {
  const Algorithm* const found = impl_->algorithm(kind_of(x));
  return found != nullptr ? std::optional(found->workspace) : std::nullopt;
}
std::optional<std::size_t> CublasLt::workspace(const DenseGradient& x) {
  const Algorithm* const found = impl_->algorithm(kind_of(x));
  return found != nullptr ? std::optional(found->workspace) : std::nullopt;
}

void CublasLt::run(const DenseProduct& x, void* workspace, void* stream) {
  impl_->run(kind_of(x), multiplication_of(x), x.weight.base, x.in.base, x.out.base, x.bias, workspace, stream);
}
void CublasLt::run(const DenseGradient& x, void* workspace, void* stream) {
  impl_->run(kind_of(x), multiplication_of(x), x.grad.base, x.in.base, x.out, nullptr, workspace, stream);
}

}  // namespace voxshift::cuda
