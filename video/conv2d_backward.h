// Gradients of 2-D convolutions on images with channels last.
#pragma once

#include <voxshift/rows/training.h>
#include <voxshift/video/conv2d.h>

namespace voxshift {

struct Conv2dGradients {
  std::optional<Array> input;   ///< of x's shape and dtype
  std::optional<Array> weight;  ///< f32 [Cout, Cin / groups, k, k]
};

/// Gradients of conv2d(x, weight, ..) for grad, that of its result before activation: x [H, W, Cin] or a stack
/// [N, H, W, Cin], f32 or, on CUDA, f16 or bf16, grad of the result's shape and dtype. That of a bias is the sum of
/// grad over all pixels. Reads stride, padding and groups of the options. Throws InvalidArgument as conv2d, and for
/// another grad.
Conv2dGradients conv2d_backward(const Array& x, const Array& weight, const Array& grad,
                                const Conv2dOptions& options = {}, WantedGradients wanted = {});

}  // namespace voxshift
