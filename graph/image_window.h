// Ops that move a window over images: conv2d, max_pool2d.
#pragma once

#include <voxshift/graph/op.h>

namespace voxshift {

constexpr std::int64_t kMostStride2d = 8;

/// The window that the attributes say.
Window2d image_window_of(const Node& node, std::int64_t kernel);

/// The images that the window makes of the node's input.
int inferred_images(Inference& node, const Window2d& window);

}  // namespace voxshift
