// A video model as a stream runs it: batch norm folded, activations, sums and shifts fused, every value an image.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/streaming/frame_profile.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/layers.h>

#include <string>
#include <vector>

namespace voxshift {

/// `channels` of every pixel; what follows the mean over a frame has one pixel.
struct VideoValue {
  Extent2d extent;
  std::int64_t channels = 0;
  std::int64_t border = 0;  ///< pixels of zeros around the image: only the network's input has them
  int first = 0, last = 0;  ///< steps that write it and read it last
};

/// The temporal shift before a step.
struct VideoShift {
  int value = -1;  ///< the input, whose first channels are remembered
  TemporalShift shift;
};

/// One step. Values are indices into VideoPlan::values.
struct VideoStep {
  enum class Kind {
    kConv2d,     ///< dense or pointwise, also linear
    kDepthwise,  ///< channel by channel
    kFused,      ///< convolution -> depthwise -> pointwise
    kMaxPool,
    kMean,  ///< over all pixels
  };
  std::string name;  ///< of the node that gives the last weights, or of the pooling
  Kind kind = Kind::kConv2d;
  int input = -1;
  int residual = -1;  ///< -1: none
  int output = -1;
  int shift = -1;     ///< index into VideoPlan::shifts, each before one step; the first convolution is pointwise then
  Conv2dLayer layer;  ///< kConv2d, kDepthwise
  FusedBlock block;   ///< kFused
  Window2d window;    ///< kMaxPool

  std::int64_t macs = 0;  ///< of a dense frame

  /// Multiply-adds of `pixels` outputs; a fused block computes `hidden` hidden pixels for them.
  std::int64_t macs_of(std::int64_t pixels, std::int64_t hidden) const;
};

struct VideoPlan {
  std::vector<VideoValue> values;
  std::vector<VideoShift> shifts;
  std::vector<VideoStep> steps;
  int input = -1, output = -1;
  DType dtype = DType::kF32;        ///< of all values
  std::vector<float> scale, shift;  ///< of the frame's channels: x * scale + shift

  const VideoValue& value(int index) const { return values[static_cast<std::size_t>(index)]; }
};

/// The graph must have passed check_graph. Throws InvalidArgument "[video] .." for a graph that does not take frames,
/// for ops that video does not know, and where batch norm, an activation, a sum or a shift cannot be fused.
VideoPlan make_video_plan(const Graph& graph, const Parameters& parameters, const FrameProfile& frames, Device device,
                          DType dtype = DType::kF32);

}  // namespace voxshift
