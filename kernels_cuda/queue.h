// The stream of an op: launches of kernels and copies on it.
#pragma once

#include <voxshift/kernels_cuda/device.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift::cuda {

/// The stream of a call. Its device is the current one from here on. Work is only queued: a failure on the device shows
/// at a later call, which then throws DeviceError with the names of both ops.
class Queue {
 public:
  /// Throws DeviceError where work queued before has failed.
  Queue(const Context& context, const char* op);

  cudaStream_t stream() const { return stream_; }
  Arena& arena() const { return *context_.arena; }
  const Context& context() const { return context_; }

  /// Waits for all that was queued. Throws DeviceError.
  void finish() const;

  /// Throws DeviceError where a launch was refused.
  void check_launch() const;

  /// Copies on the stream; from the device, waits for the bytes.
  void copy(void* to, const void* from, std::size_t bytes) const;
  void to_device(void* to, const void* from, std::size_t bytes) const;
  void to_host(void* to, const void* from, std::size_t bytes) const;
  void fill(void* memory, int byte, std::size_t bytes) const;

  /// The number at `value`: waits for it.
  template <class T>
  T read(const T* value) const {
    T result;
    to_host(&result, value, sizeof(T));
    return result;
  }

 private:
  const Context& context_;
  cudaStream_t stream_;
  [[maybe_unused]] const char* op_;  // for messages of the driver, which the emulation has not
};

/// f(i) for i of [0, n), in any order. F is a __device__ lambda without barriers.
template <class F>
void for_each(const Queue& queue, std::int64_t n, const F& f) {
  if (n <= 0) return;
  launch_for_each(n, queue.stream(), f);
  queue.check_launch();
}

/// A kernel with barriers; nothing where the grid is empty.
template <class... P, class... A>
void launch(const Queue& queue, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            A&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  launch_kernel(kernel, grid, block, shared_bytes, queue.stream(), static_cast<A&&>(arguments)...);
  queue.check_launch();
}

/// Multiprocessors of the current device.
int multiprocessors();

/// The smallest whole number of `part`s that holds `whole`.
template <class T>
__host__ __device__ constexpr T ceil_div(T whole, T part) {
  return (whole + part - 1) / part;
}

}  // namespace voxshift::cuda
