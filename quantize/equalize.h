// Channels of neighbouring products brought to one range.
#pragma once

#include <voxshift/graph/network.h>

namespace voxshift {

/// The same function with the ranges of channels evened out: where a product's value reaches another product through
/// nothing but relu and leaky_relu, and nobody else reads what lies between, channel c of the value is divided by s[c]
/// and what multiplies it times s[c], s[c] = sqrt(r1 * r2) / r2 with r1 and r2 the largest |weight| that gives channel
/// c and that multiplies it. Pairs follow one another, a depthwise product between two others being of two pairs, again
/// and again until nothing changes. A channel whose weights are all 0 stays. Batch norm must have been folded. Source:
/// Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019.
Network equalized(const Network& network);

}  // namespace voxshift
