// Products of images: convolutions, depthwise or not, and inverted residuals.
#pragma once

#include <voxshift/graph/lowering.h>

namespace voxshift {

/// The step of a product by its Draft::image_product, or of every pixel by itself where it has none, alone or behind
/// its front. One that reads the network's input takes borders of zeros.
void lower_image_product(const Draft& draft, Lowering& lowering);

}  // namespace voxshift
