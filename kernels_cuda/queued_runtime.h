// The part that CUDA's runtime and the emulated one share: copies on a Queue.
#pragma once

#include <voxshift/kernels_cuda/queue.h>

namespace voxshift::cuda {

class QueuedRuntime : public Runtime {
 public:
  void copy_from_host(Device device, void* to, const void* from, std::size_t bytes) const final {
    const Context context{device};
    Queue(context, "copy").to_device(to, from, bytes);
  }
  void copy_to_host(Device device, void* to, const void* from, std::size_t bytes) const final {
    const Context context{device};
    Queue(context, "copy").to_host(to, from, bytes);
  }
  void copy(Device device, void* to, const void* from, std::size_t bytes) const final {
    const Context context{device};
    Queue(context, "copy").copy(to, from, bytes);
  }
  void fill(Device device, void* memory, int byte, std::size_t bytes) const final {
    const Context context{device};
    Queue(context, "fill").fill(memory, byte, bytes);
  }
  void synchronize(Device device) const final {
    const Context context{device};
    Queue(context, "synchronize").finish();
  }
};

}  // namespace voxshift::cuda
