// Layers on images as kernels take them.
//
// An image of height x width is rows: pixel (y, x) is row y * width + x.
#pragma once

#include <voxshift/tensor/channel_runs.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <memory>

namespace voxshift {

/// Pixels of an image in ascending order: all of them where `rows` is null.
struct Pixels {
  const std::int32_t* rows = nullptr;
  std::int64_t count = 0;
  bool listed = false;  ///< the caller also computes lists, whose pixels have the bits that they have among all
};

/// A convolution with its packed weights and bias.
struct Conv2dLayer {
  Window2d window;
  std::int64_t in_channels = 0, out_channels = 0;
  std::shared_ptr<const PackedWeights> weights;  ///< by pack_conv2d, pack_depthwise, or theirs for i8
  Activation activation;

  std::int64_t macs() const { return window.kernel * window.kernel * in_channels * out_channels; }  ///< of a pixel
};

/// An image that a convolution reads. `border` pixels around it exist in memory and are 0, so row stride `pitch` is
/// (width + 2 border) * channels elements; with no border pixels outside are never read.
struct ImageView {
  ChannelRuns rows;         ///< pixel (y, x) is row y * width + x of the runs, but for bordered images, see pitch
  std::int64_t border = 0;  ///< > 0: one run, pixel (y, x) starts at base + y * pitch + x * row_stride
  std::int64_t pitch = 0;   ///< elements from image row to image row; only of bordered images
};

/// convolution -> depthwise -> pointwise; only the first and last values of this chain are images in memory.
struct FusedBlock {
  Extent2d in;                            ///< of the first convolution's input
  Conv2dLayer first;                      ///< pointwise; or k x k of an image with a border of at least its padding
  Conv2dLayer depthwise;                  ///< 3 x 3 or 5 x 5, stride 1 or 2
  Conv2dLayer project;                    ///< pointwise, stride 1
  Scales hidden_scales, filtered_scales;  ///< where the second and the last convolution have weights for i8

  Extent2d hidden() const { return first.window.out(in); }
  Extent2d out() const { return depthwise.window.out(hidden()); }
};

}  // namespace voxshift
