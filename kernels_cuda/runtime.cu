// Memory of CUDA devices.
#include <voxshift/kernels_cuda/queued_runtime.h>
#include <voxshift/kernels_cuda/recording.h>
#include <voxshift/kernels_cuda/status.h>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

namespace voxshift::cuda {
namespace {

constexpr int kPeakLoops = 2000, kPeakChains = 8;

__global__ void fma_peak_kernel(float* sums, float a, float b) {
  float x[kPeakChains];
  for (int c = 0; c < kPeakChains; ++c) x[c] = static_cast<float>(threadIdx.x + static_cast<unsigned>(c));
  for (int i = 0; i < kPeakLoops; ++i)
    for (int c = 0; c < kPeakChains; ++c) x[c] = x[c] * a + b;
  float sum = 0;
  for (int c = 0; c < kPeakChains; ++c) sum += x[c];
  if (sum == 0.5f) *sums = sum;  // never: keeps the work
}

class CudaRuntime final : public QueuedRuntime {
 public:
  std::string target(Device device) const override;
  bool available(Device device) const override;
  void* allocate(Device device, std::size_t bytes) const override;
  void free(Device device, void* memory, std::size_t bytes) const noexcept override;
  void set_memory_cache(Device device, std::size_t bytes) const override;
  bool shares_memory(Device device) const override;
  void* allocate_shared(Device device, std::size_t bytes) const override;
  void free_shared(Device device, void* memory, std::size_t bytes) const noexcept override;
  bool reads_in_place(Device device, const void* host) const override;
  double fma_peak(Device device, int threads) const override;

  void* use_stream(Device device, void* stream) const override {
    return std::exchange(current_stream(device), static_cast<cudaStream_t>(stream));
  }
  void wait_for(Device device, void* stream) const override {
    const Context context{device};
    const Queue queue(context, "wait_for");
    Event event;
    event.record(static_cast<cudaStream_t>(stream));
    event.order(queue.stream());
  }
  std::unique_ptr<const Recording> record(const Context& context,
                                          const std::function<void(const Context&)>& work) const override {
    return cuda::record(context, work);
  }
};

std::string CudaRuntime::target(Device device) const {
  cudaDeviceProp properties{};
  check_status(cudaGetDeviceProperties(&properties, device.index), "cuda");
  return "sm_" + std::to_string(properties.major) + std::to_string(properties.minor) + " " + properties.name;
}

bool CudaRuntime::available(Device device) const {
  int count = 0;
  const bool any = cudaGetDeviceCount(&count) == cudaSuccess;
  if (!any) cudaGetLastError();
  return any && device.index < count;
}

// Ordered on the stream, from the device's pool, which keeps what is freed: a first allocation costs a millisecond.
void* CudaRuntime::allocate(Device device, std::size_t bytes) const {
  static std::array<std::once_flag, kMostDevices> ready;
  check<BackendUnavailable>(device.index < kMostDevices, "[cuda] at most ", kMostDevices, " devices are served");
  std::call_once(ready[static_cast<std::size_t>(device.index)], [&] {
    check<BackendUnavailable>(available(device), "[cuda] this machine has no CUDA device ", name(device),
                              ", or no driver for it; use device \"cpu\"");
    set_memory_cache(device, std::numeric_limits<std::size_t>::max());
  });
  use(device);
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 64), current_stream(device));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("[allocate] " + name(device) + " refused " + std::to_string(bytes) + " bytes");
  }
  check_status(status, "allocate");
  return memory;
}

void CudaRuntime::free(Device device, void* memory, std::size_t) const noexcept {
  if (cudaSetDevice(device.index) == cudaSuccess) cudaFreeAsync(memory, current_stream(device));
}

void CudaRuntime::set_memory_cache(Device device, std::size_t bytes) const {
  cudaMemPool_t pool{};
  check_status(cudaDeviceGetDefaultMemPool(&pool, device.index), "set_memory_cache");
  std::uint64_t kept = bytes;
  check_status(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), "set_memory_cache");
  check_status(cudaMemPoolTrimTo(pool, bytes), "set_memory_cache");
}

// A GPU on a card could read the host's memory, too, but over the bus.
bool CudaRuntime::shares_memory(Device device) const {
  int integrated = 0, maps = 0;
  return available(device) && cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, device.index) == cudaSuccess &&
         cudaDeviceGetAttribute(&maps, cudaDevAttrCanMapHostMemory, device.index) == cudaSuccess && integrated != 0 &&
         maps != 0;
}

void* CudaRuntime::allocate_shared(Device device, std::size_t bytes) const {
  use(device);
  void* memory = nullptr;
  const cudaError_t status =
      cudaHostAlloc(&memory, std::max<std::size_t>(bytes, 64), cudaHostAllocMapped | cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("[allocate] " + name(device) + " refused " + std::to_string(bytes) + " bytes of shared memory");
  }
  check_status(status, "allocate");
  return memory;
}

void CudaRuntime::free_shared(Device, void* memory, std::size_t) const noexcept { cudaFreeHost(memory); }

// An address of pageable memory is no error to ask for since CUDA 11: its type is cudaMemoryTypeUnregistered.
bool CudaRuntime::reads_in_place(Device device, const void* host) const {
  if (!shares_memory(device)) return false;
  use(device);
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, host) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return (attributes.type == cudaMemoryTypeHost || attributes.type == cudaMemoryTypeManaged) &&
         attributes.devicePointer == host;
}

double CudaRuntime::fma_peak(Device device, int) const {
  const Context context{device};
  const Queue queue(context, "fma_peak");
  cudaEvent_t start{}, stop{};
  check_status(cudaEventCreate(&start), "fma_peak");
  check_status(cudaEventCreate(&stop), "fma_peak");
  constexpr int kThreads = 256, kBlocksPerProcessor = 16, kRuns = 10;
  const auto blocks = static_cast<unsigned>(multiprocessors() * kBlocksPerProcessor);
  float best = std::numeric_limits<float>::max();
  for (int run = 0; run < kRuns; ++run) {
    cudaEventRecord(start, queue.stream());
    launch(queue, fma_peak_kernel, dim3(blocks), dim3(kThreads), 0, nullptr, 0.999f, 0.001f);
    cudaEventRecord(stop, queue.stream());
    queue.finish();
    float milliseconds = 0;
    check_status(cudaEventElapsedTime(&milliseconds, start, stop), "fma_peak");
    best = std::min(best, milliseconds);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  return static_cast<double>(blocks) * kThreads * kPeakLoops * kPeakChains / (1e-3 * best);
}

}  // namespace

const Runtime& runtime() {
  static const CudaRuntime& runtime = *new CudaRuntime;  // outlives arrays of static lifetime
  return runtime;
}

}  // namespace voxshift::cuda
