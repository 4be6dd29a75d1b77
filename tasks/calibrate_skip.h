// Finds what a stream may leave out at a given loss.
#pragma once

#include <voxshift/tasks/recognizer.h>

#include <functional>
#include <vector>

namespace voxshift {

struct SkipCalibration {
  SkipThresholds thresholds;
  double logit_change = 0;  ///< relative L2 change of all logits of all clips: |skipping - dense| / |dense|
  double mac_fraction = 1;  ///< of all frames, whole-frame skip included
};

/// Thresholds front to back: the frame's first, then each layer's in the order of the network, then that of whole
/// frames, each the largest of a geometric series that its share of the budget still allows. `budget` bounds the
/// relative L2 change of the logits over all frames of all clips. Changes add up in squares: half of the squared budget
/// is for whole frames, the rest for the frame and the layers in equal shares, and what one leaves over the next may
/// use. A threshold that would save next to nothing stays 0. `clips` are u8 [T, height, width, 3] of the model's size.
/// `progress`, where given, is called with the number of thresholds found so far and in all. Throws InvalidArgument for
/// no clips, clips of another size, and a budget that is not above 0.
SkipCalibration calibrate_skip(const VideoNetwork& network, const std::vector<Array>& clips, double budget,
                               int threads = 0,
                               const std::function<void(std::size_t done, std::size_t total)>& progress = {});

}  // namespace voxshift
