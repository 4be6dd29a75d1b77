// Steadies the labels of a stream.
#pragma once

#include <deque>
#include <span>
#include <vector>

namespace voxshift {

/// The label is the class with the highest sum of logits over the last `window` frames (the lowest of equals); it
/// changes only when two frames in a row agree on the new one, and the first frame decides alone. After the
/// online demo of TSM, which sums 12.
class LabelSmoother {
 public:
  /// Throws InvalidArgument for a window below 1.
  explicit LabelSmoother(int window = 12);

  int push(std::span<const float> logits);
  void reset();

 private:
  std::size_t window_;
  std::deque<std::vector<float>> history_;
  int label_ = -1, candidate_ = -1;
};

}  // namespace voxshift
