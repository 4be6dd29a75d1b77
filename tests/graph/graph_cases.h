// Graphs that tests make wrong in one place.
#pragma once

#include <voxshift/networks/network_builder.h>

#include <string>

namespace voxshift {

/// temporal_shift -> conv2d -> batch_norm -> relu -> max_pool2d -> avg_pool -> linear, on frames.
inline Network frame_network() {
  NetworkBuilder net(InputKind::kFrames, 3, 1);
  std::string x = net.temporal_shift("shift", kGraphInput, {2, false});
  x = net.relu("relu", net.norm("norm", net.conv2d("conv", x, 6, 3, 2, 3)));
  x = net.add("mean", "avg_pool", {net.max_pool2d("pool", x, {3, 2, 1})});
  return net.take(net.linear("classifier", x, 5));
}

}  // namespace voxshift
