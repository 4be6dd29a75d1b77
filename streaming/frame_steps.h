// The steps of a plan on one frame after the other, and what they share from frame to frame: the normalised input, the
// shift's caches.
#pragma once

#include <voxshift/engine/geometry.h>
#include <voxshift/engine/memory_plan.h>
#include <voxshift/graph/window_step.h>
#include <voxshift/streaming/frame_profile.h>

#include <vector>

namespace voxshift {

/// The network's input: one frame, normalised, in the border of zeros that the steps which read it take.
class InputImage {
 public:
  InputImage(const Plan& plan, const FrameProfile& frames, Device device);

  /// frame u8 [height, width, 3], on the device.
  void set(const Context& context, const std::uint8_t* frame);

  ImageView view() const;
  std::size_t bytes() const { return image_.bytes(); }

 private:
  Extent2d extent_;
  FrameProfile frames_;
  std::int64_t border_;
  Array image_;  // [height + 2 border, width + 2 border, 3]
  std::int64_t pitch_;
  void* first_;  // pixel (0, 0)
};

/// The values of one frame but the input: each where no value alive at the same step lies, or all side by side.
class FrameMemory {
 public:
  enum class Keep { kAlive, kAll };
  FrameMemory(const Plan& plan, Keep keep, Device device);

  /// [pixels, channels], of the value's dtype.
  RowView rows(int value) const;

  /// Room for any one value, in place of all.
  void* any_value() { return memory_.memory(); }

  std::size_t bytes() const { return memory_.bytes(); }

 private:
  const Plan& plan_;
  MemoryPlan places_;
  Array memory_;
};

/// What a step computes of its output: some pixels or all, and inside a fused block the hidden ones that they read.
struct StepPixels {
  Pixels pixels;
  const std::uint8_t* hidden = nullptr;
  std::int64_t hidden_count = 0;
};

/// What a step did of the last frame.
struct StepCost {
  std::int64_t pixels = 0, macs = 0;
  double seconds = 0;
};

/// Steps that move a window over images compute the pixels that are wanted of them; others compute all.
class FrameSteps {
 public:
  FrameSteps(const Plan& plan, const FrameProfile& frames, Device device);

  const Plan& plan() const { return plan_; }
  std::size_t size() const { return plan_.steps.size(); }
  const Step& step(std::size_t s) const { return *plan_.steps[s]; }

  /// Null for a step of another kind.
  const WindowStep* window(std::size_t s) const { return windows_[s]; }

  /// Whether the step reads channels of the last frame.
  bool is_shifted(std::size_t s) const { return windows_[s] != nullptr && windows_[s]->shift().has_value(); }

  StepPixels all_of(std::size_t s) const;
  std::int64_t pixels(int value) const { return plan_.domains.rows_of_image(plan_.value(value).domain); }
  std::int64_t macs(std::size_t s, const StepPixels& done) const;
  std::int64_t dense_macs() const;

  InputImage& input() { return input_; }

  /// Whether run() waits for every step and keeps what it cost, until the next begin().
  void measure(bool wanted) { measured_ = wanted; }
  bool measured() const { return measured_; }
  void begin() { costs_.assign(size(), {}); }
  const std::vector<StepCost>& costs() const { return costs_; }

  /// Computes pixels of a step's output, `out` having as many rows, from the values in `memory`.
  void run(const Context& context, std::size_t s, const FrameMemory& memory, const StepPixels& wanted,
           const RowView& out);

  /// Keeps what a shifted step has read for the next frame: the rows that changed, or all.
  void remember(const Context& context, std::size_t s, const FrameMemory& memory, Pixels changed = {});

  /// Forgets the last frame: the shift reads zeros.
  void reset();

  std::size_t state_bytes() const;  ///< of what is remembered
  std::size_t bytes() const { return state_bytes() + input_.bytes() + geometry_.bytes(); }

 private:
  void run_step(const Context& context, std::size_t s, const FrameMemory& memory, const StepPixels& wanted,
                const RowView& out) const;
  ConstRowView rows_of(int value, const FrameMemory& memory) const;
  RowView cached(std::size_t s) const;

  const Plan& plan_;
  Geometry geometry_;  // of one frame
  InputImage input_;
  std::vector<const WindowStep*> windows_;
  std::vector<std::int64_t> macs_;  // of steps that move no window
  std::vector<Array> caches_;       // of shifted steps: [pixels, fold]
  bool measured_ = false;
  std::vector<StepCost> costs_;  // by step
};

}  // namespace voxshift
