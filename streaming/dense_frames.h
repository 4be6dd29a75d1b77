// Frames of a stream that compute all pixels.
#pragma once

#include <voxshift/streaming/frame_steps.h>
#include <voxshift/tensor/runtime.h>

#include <memory>

namespace voxshift {

/// The streaming shift without skipping. Where the device has recordings, the steps of the second frame are recorded,
/// when scratch memory has grown, and replayed from then on.
class DenseFrames {
 public:
  DenseFrames(const Plan& plan, const FrameProfile& frames, Device device);

  /// Takes a frame on the device, u8 [height, width, 3]. The context's arena is reset between frames and serves nothing
  /// else.
  void run(const Context& context, const std::uint8_t* frame);

  /// An output of the last frame, on the device, which stays until the next run().
  ConstRowView output(std::size_t output) const;

  void reset() { steps_.reset(); }

  /// What frames that are not dense use, too, between two calls of run().
  FrameSteps& steps() { return steps_; }
  const FrameSteps& steps() const { return steps_; }
  FrameMemory& memory() { return memory_; }

  std::size_t state_bytes() const { return steps_.state_bytes(); }
  std::size_t bytes() const { return steps_.bytes() + memory_.bytes(); }

 private:
  void run_steps(const Context& context);

  FrameSteps steps_;
  FrameMemory memory_;
  bool has_run_ = false;  // the last frame, to its end
  std::unique_ptr<const Recording> recording_;
  std::size_t recorded_bytes_ = 0;  // of the arena, whose memory moves when it grows
};

}  // namespace voxshift
