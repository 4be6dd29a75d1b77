// 2-D pooling on images with channels last.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/video/window2d.h>

namespace voxshift {

/// Maximum over the window's pixels inside the image, as torch.nn.functional.max_pool2d. x f32 [H, W, C]; gives f32
/// [H', W', C]. Throws InvalidArgument for other shapes, padding above half the kernel and an output without pixels.
Array max_pool2d(const Array& x, const Window2d& window);

/// Mean over the window's pixels inside the image, as torch.nn.functional.avg_pool2d with count_include_pad=False.
Array avg_pool2d(const Array& x, const Window2d& window);

/// Mean over all pixels: f32 [C], summed in order of the rows.
Array global_avg_pool2d(const Array& x);

}  // namespace voxshift
