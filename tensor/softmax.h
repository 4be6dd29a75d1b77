// Softmax: the scores of logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace voxshift {

/// scores[c] = exp(logits[c]) / sum over k of exp(logits[k]), without overflow. Both have the same size, at least 1.
inline void softmax(std::span<const float> logits, std::span<float> scores) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) sum += scores[c] = std::exp(logits[c] - highest);
  for (float& score : scores) score /= sum;
}

}  // namespace voxshift
