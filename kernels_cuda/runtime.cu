// Memory and streams of CUDA devices.
#include <voxshift/kernels_cuda/queue.h>

#include <atomic>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace voxshift::cuda {
namespace {

thread_local cudaStream_t current_stream = nullptr;
std::atomic<const char*> last_op{"nothing"};  // that queued work

cudaStream_t stream_of(const Context& context) {
  return context.stream != nullptr ? static_cast<cudaStream_t>(context.stream) : current_stream;
}

#ifndef VOXSHIFT_EMULATED

// Throws DeviceError; `op` is the caller, which need not be the culprit.
void check_status(cudaError_t status, const char* op) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what is not sticky is over with this exception
  throw DeviceError(std::string("[") + op + "] cuda: " + cudaGetErrorString(status) +
                    " (the last op queued before was " + last_op.load() + ")");
}

// Who else runs in this thread may have changed it. To ask costs a tenth of setting it.
void use(Device device) {
  if (current_device() != device.index) check_status(cudaSetDevice(device.index), "cuda");
}

#endif

}  // namespace

#ifdef VOXSHIFT_EMULATED

Queue::Queue(const Context& context, const char* op) : context_(context), stream_(stream_of(context)), op_(op) {}
void Queue::finish() const { emulated::refuse_in_recording("a wait"); }
void Queue::check_launch() const { last_op = op_; }
void Queue::copy(void* to, const void* from, std::size_t bytes) const {
  emulated::enqueue(stream_, [=] {
    if (bytes > 0) std::memmove(to, from, bytes);
  });
}
void Queue::to_device(void* to, const void* from, std::size_t bytes) const {
  emulated::refuse_in_recording("a copy from the host");
  copy(to, from, bytes);
}
void Queue::to_host(void* to, const void* from, std::size_t bytes) const {
  finish();
  copy(to, from, bytes);
}
void Queue::fill(void* memory, int byte, std::size_t bytes) const {
  emulated::enqueue(stream_, [=] {
    if (bytes > 0) std::memset(memory, byte, bytes);
  });
}
int multiprocessors() { return 4; }

#else

// Host memory that the device reads and writes itself.
template <std::size_t kSize>
struct Pinned {
  static constexpr std::size_t kBytes = kSize;
  void* memory = nullptr;

  Pinned() { check_status(cudaMallocHost(&memory, kBytes), "cuda"); }
  ~Pinned() { cudaFreeHost(memory); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
};

// One per thread, for what comes back.
using PinnedPage = Pinned<4096>;

const PinnedPage& pinned_page() {
  static thread_local const PinnedPage page;
  return page;
}

// Where bytes for a device wait for their turn, so that the host need not.
class Outbox {
 public:
  static constexpr std::size_t kBytes = std::size_t{1} << 20;

  Outbox() { check_status(cudaEventCreateWithFlags(&sent_, cudaEventDisableTiming), "copy"); }
  ~Outbox() {
    cudaEventSynchronize(sent_);
    cudaEventDestroy(sent_);
  }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void send(const Queue& queue, void* to, const void* from, std::size_t bytes) {
    check_status(cudaEventSynchronize(sent_), "copy");
    std::memcpy(memory_.memory, from, bytes);
    queue.to_device(to, memory_.memory, bytes);
    check_status(cudaEventRecord(sent_, queue.stream()), "copy");
  }

 private:
  Pinned<kBytes> memory_;
  cudaEvent_t sent_{};  // the last bytes have left
};

// One per thread and device: an event belongs to the device it was made on.
Outbox& outbox() {
  static thread_local std::map<int, Outbox> boxes;
  return boxes[current_device()];
}

Queue::Queue(const Context& context, const char* op) : context_(context), stream_(stream_of(context)), op_(op) {
  use(context.device);
  check_status(cudaPeekAtLastError(), op);
}
void Queue::finish() const { check_status(cudaStreamSynchronize(stream_), op_); }
void Queue::check_launch() const {
  check_status(cudaPeekAtLastError(), op_);
  last_op = op_;
}
void Queue::copy(void* to, const void* from, std::size_t bytes) const {
  if (bytes > 0) check_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), op_);
}
void Queue::to_device(void* to, const void* from, std::size_t bytes) const { copy(to, from, bytes); }
void Queue::to_host(void* to, const void* from, std::size_t bytes) const {
  const PinnedPage& page = pinned_page();  // a count comes twice as fast through memory that the device writes itself
  const bool small = bytes <= PinnedPage::kBytes;
  copy(small ? page.memory : to, from, bytes);
  finish();
  if (small) std::memcpy(to, page.memory, bytes);
}
void Queue::fill(void* memory, int byte, std::size_t bytes) const {
  if (bytes > 0) check_status(cudaMemsetAsync(memory, byte, bytes, stream_), op_);
}

int current_device() {
  int device = 0;
  check_status(cudaGetDevice(&device), "cuda");
  check<DeviceError>(device < kMostDevices, "[cuda] at most ", kMostDevices, " devices are served");
  return device;
}

int multiprocessors() {
  static std::atomic<int> counts[kMostDevices];  // 0: not yet read
  const int device = current_device();
  int count = counts[device];
  if (count > 0) return count;
  check_status(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cuda");
  counts[device] = count;
  return count;
}

#endif

namespace {

#ifndef VOXSHIFT_EMULATED

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

#endif

class CudaRuntime final : public Runtime {
 public:
  std::string target(Device device) const override;
  bool available(Device device) const override;
  void* allocate(Device device, std::size_t bytes) const override;
  void free(Device device, void* memory, std::size_t bytes) const noexcept override;
  void set_memory_cache(Device device, std::size_t bytes) const override;
  double fma_peak(Device device, int threads) const override;

  void copy_from_host(Device device, void* to, const void* from, std::size_t bytes) const override;
  void copy_to_host(Device device, void* to, const void* from, std::size_t bytes) const override {
    const Context context{device};
    Queue(context, "copy").to_host(to, from, bytes);
  }
  void copy(Device device, void* to, const void* from, std::size_t bytes) const override {
    const Context context{device};
    Queue(context, "copy").copy(to, from, bytes);
  }
  void fill(Device device, void* memory, int byte, std::size_t bytes) const override {
    const Context context{device};
    Queue(context, "fill").fill(memory, byte, bytes);
  }
  void synchronize(Device device) const override {
    const Context context{device};
    Queue(context, "synchronize").finish();
  }
  void* use_stream(Device, void* stream) const override {
    return std::exchange(current_stream, static_cast<cudaStream_t>(stream));
  }
  std::unique_ptr<const Recording> record(const Context& context,
                                          const std::function<void(const Context&)>& work) const override;
};

#ifdef VOXSHIFT_EMULATED

class EmulatedRecording final : public Recording {
 public:
  EmulatedRecording(const Context& context, const std::function<void(const Context&)>& work) {
    Context recorded = context;
    recorded.stream = emulated::recorded = &work_;
    try {
      work(recorded);
    } catch (...) {
      emulated::recorded = nullptr;
      throw;
    }
    emulated::recorded = nullptr;
  }

  void replay() const override {
    for (const auto& work : work_) emulated::enqueue(current_stream, work);
  }

 private:
  emulated::Recorded work_;
};

std::string CudaRuntime::target(Device) const { return "emulated"; }
bool CudaRuntime::available(Device device) const { return device.index == 0; }
void* CudaRuntime::allocate(Device, std::size_t bytes) const {
  emulated::refuse_in_recording("an allocation");
  void* memory = emulated::allocate(std::max<std::size_t>(bytes, 1));
  check<OutOfMemory>(memory != nullptr, "[allocate] ", bytes, " bytes were refused by the emulated device");
  return memory;
}
void CudaRuntime::free(Device, void* memory, std::size_t bytes) const noexcept {
  emulated::release(memory, std::max<std::size_t>(bytes, 1));
}
void CudaRuntime::set_memory_cache(Device, std::size_t) const {}
double CudaRuntime::fma_peak(Device, int) const {
  throw BackendUnavailable("[fma_peak] an emulated device has no speed");
}
void CudaRuntime::copy_from_host(Device device, void* to, const void* from, std::size_t bytes) const {
  const Context context{device};
  Queue(context, "copy").to_device(to, from, bytes);
}
std::unique_ptr<const Recording> CudaRuntime::record(const Context& context,
                                                     const std::function<void(const Context&)>& work) const {
  return std::make_unique<const EmulatedRecording>(context, work);
}

#else

// A graph, captured from a stream of its own: what other threads and streams do meanwhile stays outside.
class CudaRecording final : public Recording {
 public:
  CudaRecording(const Context& context, const std::function<void(const Context&)>& work) : device_(context.device) {
    use(device_);
    const Capture capture(context, work);
    check_status(cudaGraphInstantiate(&graph_, capture.graph, 0), "record");
  }
  ~CudaRecording() override { cudaGraphExecDestroy(graph_); }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  void replay() const override {
    use(device_);
    check_status(cudaPeekAtLastError(), "replay");
    check_status(cudaGraphLaunch(graph_, current_stream), "replay");
    last_op = "replay";
  }

 private:
  struct Capture {
    Capture(const Context& context, const std::function<void(const Context&)>& work) {
      check_status(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "record");
      try {
        check_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "record");
        Context recorded = context;
        recorded.stream = stream;
        work(recorded);
        check_status(cudaStreamEndCapture(stream, &graph), "record");
      } catch (...) {
        end();
        throw;
      }
    }
    ~Capture() { end(); }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    void end() noexcept {
      cudaStreamCaptureStatus status{};
      cudaStreamIsCapturing(stream, &status);
      if (status != cudaStreamCaptureStatusNone && cudaStreamEndCapture(stream, &graph) != cudaSuccess)
        cudaGetLastError();  // of what failed the first error is on its way
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaStreamDestroy(stream);
    }

    cudaStream_t stream{};
    cudaGraph_t graph{};
  };

  Device device_;
  cudaGraphExec_t graph_{};
};

std::unique_ptr<const Recording> CudaRuntime::record(const Context& context,
                                                     const std::function<void(const Context&)>& work) const {
  return std::make_unique<const CudaRecording>(context, work);
}

void CudaRuntime::copy_from_host(Device device, void* to, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  const Context context{device};
  const Queue queue(context, "copy");
  if (bytes <= Outbox::kBytes) return outbox().send(queue, to, from, bytes);
  queue.to_device(to, from, bytes);
  queue.finish();
}

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
  static const bool keeps = [&] {
    check<BackendUnavailable>(available(device), "[cuda] this machine has no CUDA device ", name(device),
                              ", or no driver for it; use device \"cpu\"");
    set_memory_cache(device, std::numeric_limits<std::size_t>::max());
    return true;
  }();
  (void)keeps;
  use(device);
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 64), current_stream);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("[allocate] " + name(device) + " refused " + std::to_string(bytes) + " bytes");
  }
  check_status(status, "allocate");
  return memory;
}

void CudaRuntime::free(Device device, void* memory, std::size_t) const noexcept {
  if (cudaSetDevice(device.index) == cudaSuccess) cudaFreeAsync(memory, current_stream);
}

void CudaRuntime::set_memory_cache(Device device, std::size_t bytes) const {
  cudaMemPool_t pool{};
  check_status(cudaDeviceGetDefaultMemPool(&pool, device.index), "set_memory_cache");
  std::uint64_t kept = bytes;
  check_status(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), "set_memory_cache");
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

#endif

}  // namespace

const Runtime& runtime() {
  static const CudaRuntime& runtime = *new CudaRuntime;  // outlives arrays of static lifetime
  return runtime;
}

}  // namespace voxshift::cuda
