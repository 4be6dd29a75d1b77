// Ops of images by tables of pixels: links that resize and pad, and kernel maps for windows of any form.
#pragma once

#include <voxshift/graph/lowering.h>

namespace voxshift {

constexpr std::int64_t kMostTaps2d = 64;          ///< of a window along one axis
constexpr std::int64_t kMostPadding2d = 1 << 10;  ///< pixels on one side, and between two taps

/// The extent of the node's first input; 0 x 0 where that of the network's frames is not known yet.
Extent2d input_extent(Inference& node);

/// A window of height x width taps with the node's attributes stride (0: that of the taps), padding and, where the op
/// has it, dilation.
Window pixel_window(const Node& node, Extent2d taps);

/// The taps of the node's weight, [first, second, height, width]; checks it.
Extent2d expected_taps(const Inference& node, std::int64_t first, std::int64_t second);

/// Bounds what a map of the window costs on the larger of its two images.
void expect_map_fits(const Inference& node, const Window& window, Extent2d larger);

/// The images that the window makes of the node's input, as in torch.nn.functional.conv2d.
int inferred_window_images(Inference& node, const Window& window);

/// The kernel map of the window from the pixels of `fine` images to those of `coarse` ones.
int pixel_map(Lowering& lowering, int fine, int coarse, const Window& window);

/// A convolution, or from coarse to fine a transposed one, with weights [Cout, Cin / groups, height, width].
void lower_image_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed);

/// Resizes or pads the draft's input; its extents are filled in here.
void lower_resampling(const Draft& draft, Lowering& lowering, Resampling resampling);

}  // namespace voxshift
