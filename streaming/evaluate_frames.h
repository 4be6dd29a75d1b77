// Runs a video network node by node, without the passes of its plan: for batch-norm statistics and for tests.
#pragma once

#include <voxshift/graph/graph.h>

#include <functional>

namespace voxshift {

/// Called before every node with its first input: f32 rows of all frames.
using BeforeFrameNode = std::function<void(const Node&, const ConstRowView&)>;

/// Values of the output for all frames of one clip: frames f32 [T, H, W, 3], normalised; gives f32 [T, classes]. The
/// temporal shift runs over the clip. `parameters` may change in `before`. Throws InvalidArgument for a graph that does
/// not take frames.
Array evaluate_frames(const Graph& graph, const Parameters& parameters, const Array& frames,
                      const BeforeFrameNode& before = {});

}  // namespace voxshift
