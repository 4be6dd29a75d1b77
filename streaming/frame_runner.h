// Runs the steps of a video plan, and holds what frames need: the normalised input, the shift's caches, all values.
#pragma once

#include <voxshift/engine/memory_plan.h>
#include <voxshift/streaming/video_plan.h>
#include <voxshift/tensor/runtime.h>

#include <memory>
#include <vector>

namespace voxshift {

/// What a step reads and writes: all pixels of its output, or some of them.
struct StepData {
  ImageView in;  ///< shifted where the step is
  ConstRowView residual;
  const std::uint8_t* hidden = nullptr;  ///< as fused_block() takes it
  Pixels pixels;
  RowView out;
};

void run_step(const Context& context, const VideoPlan& plan, const VideoStep& step, const StepData& data);

/// The network's input: one frame, normalised, in the border of zeros that the plan asks for.
class InputImage {
 public:
  InputImage(const VideoPlan& plan, Device device);

  /// frame u8 [height, width, 3], on the device.
  void set(const Context& context, const std::uint8_t* frame);

  ImageView view() const;
  std::size_t bytes() const { return image_.bytes(); }

 private:
  const VideoPlan& plan_;
  Array image_;  // [height + 2 border, width + 2 border, 3]
  std::int64_t pitch_;
  void* first_;  // pixel (0, 0)
};

/// The streaming shift of a plan: per shift the first fold channels of the last frame, zeros at first.
class ShiftCaches {
 public:
  ShiftCaches(const VideoPlan& plan, Device device);

  /// Back to zeros.
  void reset();

  /// The rows of the shift's value behind the cache.
  ChannelRuns shifted(int shift, const ConstRowView& in) const;

  /// Keeps the rows of `in` that changed: these pixels, or all.
  void remember(const Context& context, int shift, const ConstRowView& in, Pixels changed = {});

  std::size_t bytes() const;

 private:
  const VideoPlan& plan_;
  std::vector<Array> caches_;  // [pixels, fold]
};

/// All values of `frames` frames but the input, each where no value alive at the same step lies.
class FrameMemory {
 public:
  FrameMemory(const VideoPlan& plan, std::int64_t frames, Device device);

  /// [pixels, channels] of one frame, of the plan's dtype.
  RowView rows(int value, std::int64_t frame = 0);

  /// Room for any one value, in place of all.
  void* any_value() { return memory_.memory(); }

  std::size_t bytes() const { return memory_.bytes(); }

 private:
  const VideoPlan& plan_;
  MemoryPlan places_;
  Array memory_;
};

/// Frame after frame, all of it: the streaming shift without skipping. Where the device has recordings, the steps of
/// the second frame are recorded, when scratch memory has grown, and replayed from then on.
class DenseFrames {
 public:
  DenseFrames(const VideoPlan& plan, Device device);

  /// Takes a frame on the device; gives the logits [classes] there, of the plan's dtype, which stay until the next
  /// call. The context's arena is reset between frames and serves nothing else.
  const void* run(const Context& context, const std::uint8_t* frame);

  void reset() { caches_.reset(); }

  /// What frames that are not dense use, too, between two calls of run().
  InputImage& input() { return input_; }
  ShiftCaches& caches() { return caches_; }
  FrameMemory& memory() { return memory_; }

  std::size_t state_bytes() const { return caches_.bytes(); }
  std::size_t bytes() const { return caches_.bytes() + input_.bytes() + memory_.bytes(); }

 private:
  void run_steps(const Context& context);

  const VideoPlan& plan_;
  InputImage input_;
  ShiftCaches caches_;
  FrameMemory memory_;
  bool has_run_ = false;  // the last frame, to its end
  std::unique_ptr<const Recording> recording_;
  std::size_t recorded_bytes_ = 0;  // of the arena, whose memory moves when it grows
};

}  // namespace voxshift
