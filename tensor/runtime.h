// Contract of a backend's memory, and the context every kernel runs in.
#pragma once

#include <voxshift/tensor/arena.h>
#include <voxshift/tensor/device.h>
#include <voxshift/tensor/dtype.h>
#include <voxshift/tensor/thread_pool.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace voxshift {

struct Context;

/// Work that was recorded once, and is queued as a whole from then on.
class Recording {
 public:
  virtual ~Recording() = default;

  /// Queues the work on the stream of the calling thread. It meets the memory that it was recorded with, which must
  /// still be there.
  virtual void replay() const = 0;
};

/// Memory of one kind of device. Contract: kernels_cpu/runtime.cpp, kernels_cuda/.
class Runtime {
 public:
  virtual ~Runtime() = default;

  /// Whether this build and this machine have the device.
  virtual bool available(Device device) const = 0;

  /// `bytes` of memory aligned to 64, never null; throws OutOfMemory.
  virtual void* allocate(Device device, std::size_t bytes) const = 0;

  /// Gives back what allocate returned for `bytes`.
  virtual void free(Device device, void* memory, std::size_t bytes) const noexcept = 0;

  /// Keeps up to `bytes` of freed memory for later requests of about the same size; 0, as at first, keeps nothing.
  virtual void set_memory_cache(Device device, std::size_t bytes) const = 0;

  /// Whether the device's kernels read and write memory of the host where it lies: the CPU, and a GPU that is part of
  /// the processor, as a Jetson's.
  virtual bool shares_memory(Device device) const = 0;

  /// `bytes` of such memory, as allocate gives them: the host and the device have it at one address. Where
  /// shares_memory().
  virtual void* allocate_shared(Device device, std::size_t bytes) const = 0;
  virtual void free_shared(Device device, void* memory, std::size_t bytes) const noexcept = 0;

  /// Whether the device reads this memory of the host in place: what allocate_shared gave, or another program took from
  /// the device's library for both.
  virtual bool reads_in_place(Device device, const void* host) const = 0;

  /// Copies between the host and the device; returns when the host's bytes are there, or free to be changed. On the
  /// device they are there for all that is queued later.
  virtual void copy_from_host(Device device, void* to, const void* from, std::size_t bytes) const = 0;
  virtual void copy_to_host(Device device, void* to, const void* from, std::size_t bytes) const = 0;
  virtual void copy(Device device, void* to, const void* from, std::size_t bytes) const = 0;

  /// Sets every byte, for all that is queued later.
  virtual void fill(Device device, void* memory, int byte, std::size_t bytes) const = 0;

  /// Waits for all work queued on the calling thread's stream; throws DeviceError where some of it failed.
  virtual void synchronize(Device device) const = 0;

  /// The stream that ops, allocations and copies of the calling thread use where they are given none; at first the
  /// device's default stream (null). Returns the one before. The CPU has none.
  virtual void* use_stream(Device device, void* stream) const = 0;

  /// What is queued on the calling thread's stream from now on comes after what `stream` holds now. Waits for nothing.
  virtual void wait_for(Device device, void* stream) const = 0;

  /// Records what `work` queues in the context that it is given, which is `context` but for the stream. It is not done
  /// meanwhile: `work` must neither allocate memory nor wait. Null where the device has no recordings: nothing is
  /// called.
  virtual std::unique_ptr<const Recording> record(const Context& context,
                                                  const std::function<void(const Context&)>& work) const = 0;

  /// Float multiply-adds per second the device reaches now on `threads` threads, registers only; takes some 100 ms.
  virtual double fma_peak(Device device, int threads) const = 0;

  /// The instruction set or device the kernels were chosen for: "avx512", "avx2", "sse4", "neon", or "sm_90
  /// NVIDIA H100".
  virtual std::string target(Device device) const = 0;
};

namespace cpu {
const Runtime& runtime();

/// What multiplies numbers of i8, bf16 or f16: "AVX-512 VNNI", "NEON BFMMLA" ..; "f32" where they are made f32 first.
/// Throws InvalidArgument for other dtypes.
std::string product_instructions(DType dtype);
}  // namespace cpu
namespace cuda {
const Runtime& runtime();
}

inline const Runtime& runtime(Device device) { return on<Runtime>(device, cpu::runtime, cuda::runtime); }

/// What a kernel is given beside its operands.
struct Context {
  Device device;
  void* stream = nullptr;  ///< of the device's own kind; null: that of Runtime::use_stream
  int threads = 1;
  Arena* arena = nullptr;      ///< scratch
  ThreadPool* pool = nullptr;  ///< of the CPU; null: the process's
};

/// How much freed memory the ops called one by one keep for their next results: at first none on the CPU, on CUDA all.
/// Training, where every step makes the same results, gains from some hundred megabytes.
inline void set_memory_cache(std::size_t bytes, Device device = Device::cpu()) {
  runtime(device).set_memory_cache(device, bytes);
}

}  // namespace voxshift
