// Frames of a stream that compute only what changed: every value as it was last propagated, and where it changed now.
#pragma once

#include <voxshift/streaming/dense_frames.h>
#include <voxshift/streaming/skip_cost.h>

#include <array>
#include <vector>

namespace voxshift {

/// Keeps absolute values. A step computes the outputs that read a changed pixel; where one differs from the kept value
/// by at most the step's threshold the kept one stays and counts as unchanged. So every kept value is within the
/// threshold of the step applied to the kept values it reads, however many frames have passed. A step, and a frame, are
/// computed whole where that is predicted to cost less.
class MaskedFrames {
 public:
  /// The frame's threshold is in normalised units, `thresholds` has one for every step. `always`: every frame is
  /// compared with the kept values and every step computes only what it must, whatever it costs.
  MaskedFrames(const Plan& plan, const FrameProfile& frames, Device device, float frame_threshold,
               std::vector<float> thresholds, bool always);

  /// Takes the next frame, u8 [height, width, 3] on the device, whose mean difference from the last one is `change`
  /// grey levels; returns the multiply-adds that it cost. `key`: every step computes all pixels and takes what differs
  /// at all, so that kept values are those of a dense run.
  std::int64_t run(const Context& context, const std::uint8_t* frame, bool key, double change);

  FrameSteps& steps() { return dense_.steps(); }
  const FrameSteps& steps() const { return dense_.steps(); }

  /// How the last frame was computed. One that is dense has kept no values but those of the shift.
  FrameForm form() const { return form_; }

  /// An output of the last frame, on the device.
  ConstRowView output(std::size_t output) const;

  /// Forgets all frames; the next one is changed everywhere.
  void reset();

  /// Which pixels were taken from the last frame, the others being older; on the device.
  const Array& changed() const { return mask(plan_.input()).pixels; }
  std::int64_t changed_count() const { return mask(plan_.input()).active; }

  /// u8 [height, width, 3] on the device: the last frame where its pixels were taken, elsewhere older ones.
  const std::uint8_t* kept_frame() const { return frame_.data<std::uint8_t>(); }

  /// The kept values of a step's output, where the last frame has kept them.
  ConstRowView kept(int value) const { return kept_.rows(value); }

  std::size_t state_bytes() const;
  std::size_t bytes() const;

 private:
  // Which pixels of a buffer changed with this frame; of a shift's input, with the last frame.
  struct Mask {
    Array pixels;
    std::int64_t active = 0;

    Mask(std::int64_t count, Device device);
    std::uint8_t* data() { return pixels.data<std::uint8_t>(); }
    bool all() const { return active == pixels.count(); }
    void clear();
    void set_all();
    void copy(const Mask& other);
  };

  Mask& mask(int value) { return masks_[static_cast<std::size_t>(plan_.value(value).buffer)]; }
  const Mask& mask(int value) const { return const_cast<MaskedFrames*>(this)->mask(value); }
  StepWork work_of(std::size_t s, const StepPixels& done) const;
  bool reads_all(std::size_t s) const;
  bool reads_changes(std::size_t s) const;
  std::int64_t find_candidates(const Context& context, std::size_t s);
  StepPixels find_work(const Context& context, std::size_t s);
  void commit(const Context& context, std::size_t s, const RowView& values, const StepPixels& work, float threshold);
  void remember(const Context& context, std::size_t s);

  std::int64_t run_dense(const Context& context, const std::uint8_t* frame);
  std::int64_t fill(const Context& context, const std::uint8_t* frame);
  void take(const Context& context, const std::uint8_t* frame, bool key);
  bool hopeless() const;
  std::int64_t compare(const Context& context, bool key);

  const Plan& plan_;
  const bool always_;
  const bool exact_;  // no threshold stops a change
  FrameForm form_ = FrameForm::kDense;
  SkipPolicy policy_;
  std::int64_t dense_macs_ = 0;
  std::array<float, 3> frame_threshold_;  // grey levels
  std::vector<float> thresholds_;
  DenseFrames dense_;  // its input and caches are those of all frames
  FrameMemory kept_;   // all values but the input
  Array frame_;
  std::vector<Mask> masks_;            // by buffer; of values that lie in one together
  std::vector<bool> is_first_;         // by step: the first that writes its buffer
  std::vector<Mask> previous_;         // by step; empty but for shifted ones
  Array rows_, reached_, candidates_;  // scratch of the largest step
};

}  // namespace voxshift
