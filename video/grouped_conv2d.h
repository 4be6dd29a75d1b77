// A 2-D convolution with any number of groups, packed once.
#pragma once

#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/video/conv2d.h>

#include <memory>
#include <vector>

namespace voxshift {

struct Pixels;

/// A depthwise convolution is one layer of the contract, any other one a layer per group on its slice of the channels.
class GroupedConv2d {
 public:
  /// Arguments as of conv2d(); `op` begins the messages of what it throws. dtype: of the images, and of packed weights.
  GroupedConv2d(const char* op, const Array& weight, const std::optional<Array>& bias, const Conv2dOptions& options,
                DType dtype = DType::kF32);

  const Window2d& window() const { return window_; }
  std::int64_t in_channels() const { return in_channels_; }
  std::int64_t out_channels() const { return out_channels_; }
  std::int64_t macs() const;  ///< of one output pixel

  /// out[i] = the output at pixels[i] of an image of `extent`.
  void run(const Context& context, Extent2d extent, const ConstRowView& in, const Pixels& pixels,
           const RowView& out) const;

 private:
  bool depthwise() const { return groups_ > 1 && groups_ == in_channels_ && groups_ == out_channels_; }

  Window2d window_;
  std::int64_t groups_, in_channels_ = 0, out_channels_ = 0;
  Activation activation_;
  std::vector<std::shared_ptr<const PackedWeights>> packed_;
};

}  // namespace voxshift
