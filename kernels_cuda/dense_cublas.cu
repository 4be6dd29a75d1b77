// Dense products by cuBLASLt: one of it per device, for the process.
#include <voxshift/kernels_cuda/cublas_lt.h>
#include <voxshift/kernels_cuda/dense_library.h>
#include <voxshift/kernels_cuda/status.h>

#include <array>
#include <atomic>
#include <mutex>

namespace voxshift::cuda {
namespace {

// Null where the machine has none. A handle outlives arrays of static lifetime.
CublasLt* cublas_lt() {
  static const auto functions = CublasLt::open(CublasLt::names());
  static std::array<std::once_flag, kMostDevices> ready;
  static std::array<CublasLt*, kMostDevices> of_device{};
  const auto device = static_cast<std::size_t>(current_device());
  if (functions == nullptr) return nullptr;
  std::call_once(ready[device], [&] { of_device[device] = CublasLt::create(functions).release(); });
  return of_device[device];
}

// A first call makes a handle and loads kernels, which a stream that is recorded does not forbid then.
class RecordingAllowsCalls {
 public:
  RecordingAllowsCalls() { check_status(cudaThreadExchangeStreamCaptureMode(&mode_), "dense_product"); }
  ~RecordingAllowsCalls() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  RecordingAllowsCalls(const RecordingAllowsCalls&) = delete;
  RecordingAllowsCalls& operator=(const RecordingAllowsCalls&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

template <class Call>
bool multiply_by_cublas(const Queue& queue, const Call& call) {
  const RecordingAllowsCalls allows;
  CublasLt* const library = cublas_lt();
  if (library == nullptr) return false;
  const auto bytes = library->workspace(call);
  if (!bytes) return false;
  const Arena::Mark mark = queue.arena().mark();
  void* workspace = nullptr;
  if (*bytes > 0) {
    constexpr std::uintptr_t kAlignment = CublasLt::kWorkspaceAlignment;
    const auto at = reinterpret_cast<std::uintptr_t>(queue.arena().allocate_bytes(*bytes + kAlignment));
    workspace = reinterpret_cast<void*>(ceil_div(at, kAlignment) * kAlignment);
  }
  library->run(call, workspace, queue.stream());
  queue.check_launch();
  queue.arena().rewind(mark);
  return true;
}

}  // namespace

bool library_multiplies(const Queue& queue, const DenseProduct& call) { return multiply_by_cublas(queue, call); }
bool library_multiplies(const Queue& queue, const DenseGradient& call) { return multiply_by_cublas(queue, call); }

int architecture(const Queue&) {
  static std::atomic<int> known[kMostDevices];  // 0: not yet read
  const int device = current_device();
  if (known[device] > 0) return known[device];
  int major = 0, minor = 0;
  check_status(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cuda");
  check_status(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cuda");
  return known[device] = 10 * major + minor;
}

}  // namespace voxshift::cuda
