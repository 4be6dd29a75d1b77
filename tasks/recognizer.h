// A video network that recognises what a stream of frames shows.
#pragma once

#include <voxshift/streaming/frame_stream.h>
#include <voxshift/tasks/video_network.h>

#include <span>
#include <vector>

namespace voxshift {

/// The views stay valid until the next push or reset.
struct FrameResult {
  int label = 0;                          ///< the lowest class of the highest logit
  std::span<const float> logits, scores;  ///< [classes]; scores are the softmax of the logits
  FrameCost cost;
};

/// A stream whose network classifies its frames.
class Recognizer : public FrameStream {
 public:
  /// For kAuto without thresholds those of the model are taken. Throws InvalidArgument as FrameStream.
  explicit Recognizer(const VideoNetwork& network, const StreamOptions& options = {});

  /// Recognises the next frame. frame, and what is thrown: as of FrameStream::push.
  FrameResult push(const Array& frame);

  const VideoNetwork& network() const { return network_; }

 private:
  VideoNetwork network_;
  std::vector<float> scores_;
};

}  // namespace voxshift
