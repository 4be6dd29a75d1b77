#include <voxshift/tasks/label_smoother.h>
#include <voxshift/tensor/error.h>

#include <algorithm>

namespace voxshift {

LabelSmoother::LabelSmoother(int window) : window_(static_cast<std::size_t>(std::max(window, 1))) {
  check(window >= 1, "[smoother] window expects 1 frame or more, found ", window);
}

int LabelSmoother::push(std::span<const float> logits) {
  check(!logits.empty(), "[smoother] logits expects one class or more");
  check(history_.empty() || history_.back().size() == logits.size(), "[smoother] logits expects ",
        history_.empty() ? 0 : history_.back().size(), " classes as before, found ", logits.size());
  history_.emplace_back(logits.begin(), logits.end());
  if (history_.size() > window_) history_.pop_front();

  std::vector<double> sums(logits.size());
  for (const std::vector<float>& frame : history_)
    for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += frame[c];
  const int found = static_cast<int>(std::max_element(sums.begin(), sums.end()) - sums.begin());
  if (label_ < 0 || found == candidate_) label_ = found;
  candidate_ = found;
  return label_;
}

void LabelSmoother::reset() {
  history_.clear();
  label_ = candidate_ = -1;
}

}  // namespace voxshift
