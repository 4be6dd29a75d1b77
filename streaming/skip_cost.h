// What it costs to compute only what changed, predicted from counts, and for which frames it pays to look for changes.
#pragma once

#include <cstdint>

namespace voxshift {

/// What a step of a network computes of its output: some pixels or all of them.
struct StepWork {
  std::int64_t macs = 0;     ///< multiply-adds
  std::int64_t pixels = 0;   ///< of the output, and of what lies inside a fused block
  std::int64_t numbers = 0;  ///< of the output
};

/// Costs of a step in units of one multiply-add of a step that computes all pixels. They depend on counts alone, never
/// on a clock or on the number of threads, and so do all decisions that rest on them.
namespace skip_cost {

/// All pixels, nothing compared.
std::int64_t dense(const StepWork& all);

/// All pixels, each compared with the value kept of it.
std::int64_t compared(const StepWork& all);

/// Some pixels, by a list, each compared with the value kept of it.
std::int64_t listed(const StepWork& some);

/// Finding the outputs that read a changed pixel, with masks of `pixels` in all.
std::int64_t search(std::int64_t pixels);

}  // namespace skip_cost

/// How a frame is computed.
enum class FrameForm {
  kDense,    ///< all pixels; nothing is kept for the next frame to compare with
  kFilling,  ///< all pixels, and all of them kept
  kCompared  ///< what changed since the kept values were computed
};

/// Chooses the form of every frame. Frames are compared as long as that pays: what they cost more than dense ones adds
/// up to a debt, what they cost less pays it back. A debt of more than an eighth of a dense frame ends comparing:
/// frames are dense, at least as many as `rest`. Then one fills and the next are compared again, as soon as frames
/// differ half as much from each other as they did at the end, or after kLongestRest in any case. The frame after a
/// filling one makes no debt: the shifts still bring it a change of all pixels. A trial that has cost more than it
/// saved doubles the rest.
class SkipPolicy {
 public:
  /// Dense frames between two trials, at least and at most.
  static constexpr int kShortestRest = 4, kLongestRest = 64;

  /// The form of the next frame, which is `change` from the last one: its mean difference in grey levels.
  FrameForm next(double change);

  /// The next frame, of which next() has said to compare it, will be dense, and so will be those after it.
  void stop();

  /// Adds the costs of a frame that was not dense, and of a dense one.
  void add(std::int64_t cost, std::int64_t dense_cost);

  /// As newly made: the next frame fills.
  void reset() { *this = {}; }

 private:
  static constexpr std::int64_t kDebtShare = 8;

  bool comparing_ = false;
  int frames_ = 0;  // since comparing began
  std::int64_t debt_ = 0, most_debt_ = 0;
  std::int64_t balance_ = 0;  // saved since comparing began
  double change_ = 0;         // of the last frame that was compared
  int rest_ = 0;              // dense frames before the next trial, at least
  int rested_ = 0;            // since comparing ended
};

}  // namespace voxshift
