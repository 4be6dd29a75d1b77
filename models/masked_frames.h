// Frames of a stream that compute only what changed: every value as it was last propagated, and where it changed now.
#pragma once

#include <voxshift/models/frame_runner.h>

#include <array>
#include <vector>

namespace voxshift {

/// Keeps absolute values. A step computes the outputs that read a changed pixel; where one differs from the kept value
/// by at most the step's threshold the kept one stays and counts as unchanged. So every kept value is within the
/// threshold of the step applied to the kept values it reads, however many frames have passed.
class MaskedFrames {
 public:
  /// The frame's threshold is in normalised units, `thresholds` has one for every step.
  MaskedFrames(const VideoPlan& plan, Device device, float frame_threshold, std::vector<float> thresholds);

  /// Takes the next frame, u8 [height, width, 3] on the device, and returns the multiply-adds that it cost. `dense`:
  /// every step computes all pixels and takes what differs at all, so that kept values are those of a dense run.
  std::int64_t run(const Context& context, const std::uint8_t* frame, bool dense);

  /// Forgets all frames; the next one is dense and changed everywhere.
  void reset();

  /// Which pixels were taken from the last frame, the others being older; on the device.
  const Array& changed() const { return masks_[static_cast<std::size_t>(plan_.input)].pixels; }
  std::int64_t changed_count() const { return active(plan_.input); }

  /// u8 [height, width, 3] on the device: the last frame where its pixels were taken, elsewhere older ones.
  const std::uint8_t* kept_frame() const { return frame_.data<std::uint8_t>(); }

  /// The kept values of a step's output.
  ConstRowView kept(int value) const;

  std::size_t state_bytes() const;
  std::size_t bytes() const;

 private:
  // Which pixels of a value changed with this frame; of a shift, with the last frame.
  struct Mask {
    Array pixels;
    std::int64_t active = 0;

    Mask(const VideoValue& value, Device device);
    std::uint8_t* data() { return pixels.data<std::uint8_t>(); }
    void clear();
    void copy(const Mask& other);
  };

  // Pixels that a step computes: outputs, and in a fused block the hidden ones that they read.
  struct Work {
    Pixels pixels;
    const std::uint8_t* hidden = nullptr;
    std::int64_t hidden_count = 0;
  };

  Mask& mask(int value) { return masks_[static_cast<std::size_t>(value)]; }
  std::int64_t active(int value) const { return masks_[static_cast<std::size_t>(value)].active; }
  RowView kept_rows(int value);
  std::int64_t find_candidates(const Context& context, const VideoStep& step);
  Work find_work(const Context& context, const VideoStep& step, bool dense);
  ConstRowView compute(const Context& context, const VideoStep& step, const Work& work);
  void remember(const Context& context, const VideoStep& step);

  void take(const Context& context, const std::uint8_t* frame, bool dense);

  const VideoPlan& plan_;
  bool fresh_ = true;                     // no frame yet
  std::array<float, 3> frame_threshold_;  // grey levels
  std::vector<float> thresholds_;
  InputImage input_;
  ShiftCaches caches_;
  Array frame_, kept_;                           // of all values but the input: [pixels, channels], one after the other
  std::vector<std::int64_t> places_;             // of the values in kept_
  std::vector<Mask> masks_;                      // by value
  std::vector<Mask> previous_;                   // by shift
  Array rows_, reached_, candidates_, outputs_;  // scratch of the largest step
};

}  // namespace voxshift
