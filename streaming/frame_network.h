// A network on frames ready to run: its plan and packed weights, which any number of streams share.
#pragma once

#include <voxshift/graph/network.h>
#include <voxshift/streaming/frame_profile.h>
#include <voxshift/tensor/device.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

struct Plan;

/// One step of a network on frames.
struct FrameLayer {
  std::string name;  ///< key of SkipThresholds::layers
  std::string kind;  ///< "conv 3x3 / 2", "pointwise", "depthwise 3x3", "expand-depthwise-project", "mean" ..
  Extent2d out;
  std::int64_t in_channels = 0, out_channels = 0;
  std::int64_t macs = 0;      ///< of a dense frame
  bool shifted = false;       ///< the temporal shift comes before it
  DType dtype = DType::kF32;  ///< of what it reads, and of its weights
};

/// Immutable; copies share the plan and the weights. Safe to use from many threads.
class FrameNetwork {
 public:
  /// dtype of features and weights: none is i8 of a network that has scales, else f32 on the CPU, f16 (summed in f32)
  /// on CUDA. Throws InvalidArgument "[video] .." for a network that does not take frames of 3 channels, and for i8 of
  /// one without scales; BackendUnavailable for a device this build has not, or a dtype that is none of f32, f16, bf16
  /// and i8.
  FrameNetwork(const Network& network, const FrameProfile& frames, Device device = Device::cpu(),
               std::optional<DType> dtype = {});

  Device device() const { return device_; }
  DType dtype() const;
  const FrameProfile& frames() const { return frames_; }
  Extent2d extent() const { return {frames_.height, frames_.width}; }
  const std::vector<std::string>& outputs() const { return outputs_; }  ///< their names
  const std::vector<FrameLayer>& layers() const { return layers_; }
  const std::shared_ptr<const Plan>& plan() const { return plan_; }

  /// Multiply-adds of a dense frame.
  std::int64_t dense_macs() const;

  /// Whether a shift looks at the next frame: such a network runs on clips, not on streams.
  bool bidirectional() const { return bidirectional_; }

  /// Steps that read channels of another frame.
  std::int64_t shifts() const;

 private:
  Device device_;
  FrameProfile frames_;
  std::vector<std::string> outputs_;
  std::shared_ptr<const Plan> plan_;
  std::vector<FrameLayer> layers_;
  bool bidirectional_ = false;
};

}  // namespace voxshift
