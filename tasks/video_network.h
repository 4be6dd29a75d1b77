// A video model ready to run: its network on frames, and its classes.
#pragma once

#include <voxshift/streaming/frame_network.h>
#include <voxshift/tasks/model.h>

#include <cstdint>
#include <optional>

namespace voxshift {

/// Immutable; copies share the plan and the weights. Safe to use from many threads.
class VideoNetwork : public FrameNetwork {
 public:
  /// dtype as of FrameNetwork. Throws InvalidArgument "[video] .." for a model that does not take frames, or gives
  /// something else than one row of logits per frame; BackendUnavailable as FrameNetwork.
  explicit VideoNetwork(const Model& model, Device device = Device::cpu(), std::optional<DType> dtype = {});

  const Model& model() const { return model_; }
  std::int64_t classes() const { return classes_; }

 private:
  Model model_;
  std::int64_t classes_;
};

/// Logits f32 [classes] of a whole clip: the mean of its frames', as TSM's consensus. frames u8 [T, height, width, 3],
/// RGB, of the size the model takes, on the CPU; T >= 1, the profile's `segments` in training. threads 0:
/// num_threads(). Throws InvalidArgument for another shape or dtype.
Array recognize_clip(const VideoNetwork& network, const Array& frames, int threads = 0);

/// The logits of every frame of a clip, f32 [T, classes]. The frames go through the network side by side: memory is
/// that of the largest values of all T frames.
Array recognize_frames(const VideoNetwork& network, const Array& frames, int threads = 0);

}  // namespace voxshift
