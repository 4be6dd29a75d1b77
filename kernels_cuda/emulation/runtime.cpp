// Memory, streams and recordings of the emulated device. There is one device, and what is queued is done at once.
#include <voxshift/kernels_cuda/queued_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>

namespace voxshift::cuda {
namespace {

thread_local cudaStream_t current_stream = nullptr;

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

// Memory of the host that the device may read: with VOXSHIFT_EMULATE_INTEGRATED set it is part of the processor.
class SharedMemory {
 public:
  void* allocate(std::size_t bytes) {
    constexpr std::size_t kAlignment = 64;
    void* memory = ::operator new (std::max<std::size_t>(bytes, 1), std::align_val_t{kAlignment});
    const std::lock_guard lock(mutex_);
    pieces_[static_cast<std::byte*>(memory)] = bytes;
    return memory;
  }
  void release(void* memory) noexcept {
    const std::lock_guard lock(mutex_);
    pieces_.erase(static_cast<std::byte*>(memory));
    ::operator delete (memory, std::align_val_t{64});
  }
  bool has(const void* memory) {
    const std::lock_guard lock(mutex_);
    const auto* const byte = static_cast<const std::byte*>(memory);
    const auto above = pieces_.upper_bound(byte);
    if (above == pieces_.begin()) return false;
    const auto& [begin, bytes] = *std::prev(above);
    return byte < begin + bytes;
  }

 private:
  std::mutex mutex_;
  std::map<const std::byte*, std::size_t> pieces_;
};

SharedMemory& shared_memory() {
  static SharedMemory& memory = *new SharedMemory;  // outlives arrays of static lifetime
  return memory;
}

class EmulatedRuntime final : public QueuedRuntime {
 public:
  std::string target(Device) const override { return "emulated"; }
  bool available(Device device) const override { return device.index == 0; }
  void* allocate(Device device, std::size_t bytes) const override {
    check<BackendUnavailable>(available(device), "[cuda] there is one emulated device, not ", name(device));
    emulated::refuse_in_recording("an allocation");
    void* memory = emulated::allocate(std::max<std::size_t>(bytes, 1));
    check<OutOfMemory>(memory != nullptr, "[allocate] ", bytes, " bytes were refused by the emulated device");
    return memory;
  }
  void free(Device, void* memory, std::size_t bytes) const noexcept override {
    emulated::release(memory, std::max<std::size_t>(bytes, 1));
  }
  void set_memory_cache(Device, std::size_t) const override {}
  bool shares_memory(Device) const override { return std::getenv("VOXSHIFT_EMULATE_INTEGRATED") != nullptr; }
  void* allocate_shared(Device, std::size_t bytes) const override { return shared_memory().allocate(bytes); }
  void free_shared(Device, void* memory, std::size_t) const noexcept override { shared_memory().release(memory); }
  bool reads_in_place(Device device, const void* host) const override {
    return shares_memory(device) && shared_memory().has(host);
  }
  double fma_peak(Device, int) const override {
    throw BackendUnavailable("[fma_peak] an emulated device has no speed");
  }
  void* use_stream(Device, void* stream) const override { return std::exchange(current_stream, stream); }
  void wait_for(Device, void*) const override {}
  std::unique_ptr<const Recording> record(const Context& context,
                                          const std::function<void(const Context&)>& work) const override {
    return std::make_unique<const EmulatedRecording>(context, work);
  }
};

}  // namespace

Queue::Queue(const Context& context, const char* op)
    : context_(context), stream_(context.stream != nullptr ? context.stream : current_stream), op_(op) {}
void Queue::finish() const { emulated::refuse_in_recording("a wait"); }
void Queue::check_launch() const {}
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

const Runtime& runtime() {
  static const EmulatedRuntime& runtime = *new EmulatedRuntime;  // outlives arrays of static lifetime
  return runtime;
}

}  // namespace voxshift::cuda
