// 2-D convolution on images with channels last.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <optional>

namespace voxshift {

struct Conv2dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;  ///< input channels for depthwise
  Activation activation;
};

/// out = act(conv(x, weight) + bias), as torch.nn.functional.conv2d (correlation, zero padding), channels last.
/// x [H, W, Cin], or a stack of images [N, H, W, Cin], f32 or, on CUDA, f16 or bf16, to which the weight is rounded and
/// whose sums are f32; weight f32 [Cout, Cin / groups, k, k] as in torch, k of 1 to kMostKernel2d; bias f32 [Cout].
/// Gives, in x's dtype, [H', W', Cout], or [N, H', W', Cout], with H' = floor((H + 2 padding - k)
/// / stride) + 1. Packs the weight per call; a stream packs once. Throws InvalidArgument for other shapes or dtypes,
/// groups that do not divide the channels, more than 2^20 channels of a group, and an output without pixels.
Array conv2d(const Array& x, const Array& weight, const std::optional<Array>& bias = {},
             const Conv2dOptions& options = {});

/// The same into `out` f32 [H', W', Cout].
void conv2d_into(Array& out, const Array& x, const Array& weight, const std::optional<Array>& bias,
                 const Conv2dOptions& options);

}  // namespace voxshift
