// Streams of CUDA devices and what goes through them.
#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/kernels_cuda/status.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <string>

namespace voxshift::cuda {
namespace {

std::atomic<const char*> last_op{"nothing"};  // that queued work

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

  Outbox() = default;
  ~Outbox() { cudaEventSynchronize(sent_.get()); }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void send(const Queue& queue, void* to, const void* from, std::size_t bytes) {
    sent_.wait();
    std::memcpy(memory_.memory, from, bytes);
    queue.copy(to, memory_.memory, bytes);
    sent_.record(queue.stream());
  }

 private:
  Pinned<kBytes> memory_;
  Event sent_;
};

// One per thread and device: an event belongs to the device it was made on.
Outbox& outbox() {
  static thread_local std::map<int, Outbox> boxes;
  return boxes[current_device()];
}

}  // namespace

void check_status(cudaError_t status, const char* op) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what is not sticky is over with this exception
  throw DeviceError(std::string("[") + op + "] cuda: " + cudaGetErrorString(status) +
                    " (the last op queued before was " + last_op.load() +
                    "; with CUDA_LAUNCH_BLOCKING=1 in the environment the op that fails reports it)");
}

void note_queued(const char* op) { last_op = op; }

// To ask costs a tenth of setting it.
void use(Device device) {
  if (current_device() != device.index) check_status(cudaSetDevice(device.index), "cuda");
}

cudaStream_t& current_stream(Device device) {
  static thread_local std::array<cudaStream_t, kMostDevices> streams{};
  check<DeviceError>(device.index < kMostDevices, "[cuda] at most ", kMostDevices, " devices are served");
  return streams[static_cast<std::size_t>(device.index)];
}

Event::Event() { check_status(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cuda"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) { check_status(cudaEventRecord(event_, stream), "cuda"); }
void Event::wait() const { check_status(cudaEventSynchronize(event_), "cuda"); }
void Event::order(cudaStream_t stream) const { check_status(cudaStreamWaitEvent(stream, event_, 0), "cuda"); }

Queue::Queue(const Context& context, const char* op)
    : context_(context),
      stream_(context.stream != nullptr ? static_cast<cudaStream_t>(context.stream) : current_stream(context.device)),
      op_(op) {
  use(context.device);
  check_status(cudaPeekAtLastError(), op);
}
void Queue::finish() const { check_status(cudaStreamSynchronize(stream_), op_); }
void Queue::check_launch() const {
  check_status(cudaPeekAtLastError(), op_);
  note_queued(op_);
}
void Queue::copy(void* to, const void* from, std::size_t bytes) const {
  if (bytes > 0) check_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), op_);
}
void Queue::to_device(void* to, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  if (bytes <= Outbox::kBytes) return outbox().send(*this, to, from, bytes);
  copy(to, from, bytes);
  finish();
}
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

}  // namespace voxshift::cuda
