#include <voxshift/tasks/recognizer.h>
#include <voxshift/tensor/softmax.h>

#include <algorithm>

namespace voxshift {
namespace {

StreamOptions with_thresholds(StreamOptions options, const Model& model) {
  if (!options.thresholds) options.thresholds = model.skip_thresholds();
  return options;
}

}  // namespace

Recognizer::Recognizer(const VideoNetwork& network, const StreamOptions& options)
    : FrameStream(network, with_thresholds(options, network.model())),
      network_(network),
      scores_(static_cast<std::size_t>(network.classes())) {}

FrameResult Recognizer::push(const Array& frame) {
  const FrameCost& cost = FrameStream::push(frame);
  const std::span<const float> logits = values();
  softmax(logits, scores_);
  return {static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin()), logits, scores_, cost};
}

}  // namespace voxshift
