// Status codes of CUDA's calls as exceptions, streams of threads, and events. The emulation has none of these.
#pragma once

#include <cuda_runtime.h>
#include <voxshift/tensor/device.h>

namespace voxshift::cuda {

/// Throws DeviceError unless the call was a success. `op` is the caller, which need not be the culprit.
void check_status(cudaError_t status, const char* op);

/// Names what queued work, for the messages of later failures.
void note_queued(const char* op);

/// Makes it the current device, which others in this thread may have changed.
void use(Device device);

/// Of the calling thread: where work, allocations and copies go that are given no stream.
cudaStream_t& current_stream(Device device);

/// Tells when the work before it is done.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  cudaEvent_t get() const { return event_; }
  void record(cudaStream_t stream);
  void wait() const;
  /// What is queued on `stream` later comes after it.
  void order(cudaStream_t stream) const;

 private:
  cudaEvent_t event_{};
};

}  // namespace voxshift::cuda
