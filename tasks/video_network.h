// A video model ready to run: its plan and packed weights, which any number of streams share.
#pragma once

#include <voxshift/tasks/model.h>
#include <voxshift/tensor/device.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

struct Plan;

/// One step of a video network.
struct VideoLayer {
  std::string name;  ///< key of SkipThresholds::layers
  std::string kind;  ///< "conv 3x3 / 2", "pointwise", "depthwise 3x3", "expand-depthwise-project", "mean" ..
  Extent2d out;
  std::int64_t in_channels = 0, out_channels = 0;
  std::int64_t macs = 0;  ///< of a dense frame
  bool shifted = false;   ///< the temporal shift comes before it
};

/// Immutable; copies share the plan and the weights. Safe to use from many threads.
class VideoNetwork {
 public:
  /// dtype of features and weights: none is f32 on the CPU, f16 (summed in f32) on CUDA. Throws InvalidArgument
  /// "[video] .." for a model that does not take frames of 3 channels or gives something else than one row per frame;
  /// BackendUnavailable for a device this build has not, or a dtype that the device has not: f16 on the CPU.
  explicit VideoNetwork(const Model& model, Device device = Device::cpu(), std::optional<DType> dtype = {});

  const Model& model() const { return model_; }
  Device device() const { return device_; }
  DType dtype() const;
  const std::shared_ptr<const Plan>& plan() const { return plan_; }
  Extent2d extent() const { return extent_; }  ///< of a frame
  std::int64_t classes() const { return classes_; }
  const std::vector<VideoLayer>& layers() const { return layers_; }

  /// Multiply-adds of a dense frame.
  std::int64_t dense_macs() const;

  /// Whether a shift looks at the next frame: such a network runs on clips, not on streams.
  bool bidirectional() const { return bidirectional_; }

  /// Steps that read channels of another frame.
  std::int64_t shifts() const;

 private:
  Model model_;
  Device device_;
  Extent2d extent_;
  std::shared_ptr<const Plan> plan_;
  std::vector<VideoLayer> layers_;
  std::int64_t classes_ = 0;
  bool bidirectional_ = false;
};

/// Logits f32 [classes] of a whole clip: the mean of its frames', as TSM's consensus. frames u8 [T, height, width, 3],
/// RGB, of the size the model takes, on the CPU; T >= 1, the profile's `segments` in training. threads 0:
/// num_threads(). Throws InvalidArgument for another shape or dtype.
Array recognize_clip(const VideoNetwork& network, const Array& frames, int threads = 0);

/// The logits of every frame of a clip, f32 [T, classes]. The frames go through the network side by side: memory is
/// that of the largest values of all T frames.
Array recognize_frames(const VideoNetwork& network, const Array& frames, int threads = 0);

}  // namespace voxshift
