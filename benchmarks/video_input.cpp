#include "video_input.h"

#include <voxshift/engine/evaluate.h>
#include <voxshift/synth/video.h>

#include <algorithm>

#include "input.h"

namespace voxshift::bench {

Model video_model(const std::string& arch, double width) {
  ModelSpec spec;
  spec.arch = arch;
  spec.width = width;
  spec.classes = 27;
  return Model::create(spec);
}

Model without_shift(const Model& model) {
  Graph graph = model.graph();
  std::map<std::string, std::string> unshifted;  // value of a shift -> its input
  for (const Node& node : graph.nodes)
    if (node.op == "temporal_shift") unshifted[node.name] = node.inputs.at(0);
  std::erase_if(graph.nodes, [](const Node& node) { return node.op == "temporal_shift"; });
  std::erase_if(graph.scales, [&](const auto& scale) { return unshifted.contains(scale.first); });
  for (Node& node : graph.nodes)
    for (std::string& input : node.inputs)
      if (const auto found = unshifted.find(input); found != unshifted.end()) input = found->second;
  return {model.arch(), std::move(graph), model.parameters(), model.own_profile(), model.classes()};
}

std::vector<Array> frames_of(const Array& clip) {
  const Shape shape{clip.dim(1), clip.dim(2), clip.dim(3)};
  std::vector<Array> frames;
  for (std::int64_t t = 0; t < clip.dim(0); ++t) {
    auto* const first = const_cast<std::uint8_t*>(clip.data<std::uint8_t>()) + t * count_of(shape);
    frames.emplace_back(first, shape, DType::kU8, Device::cpu(), clip.owner());
  }
  return frames;
}

std::vector<Array> synthetic_frames(const Model& model, std::uint64_t seed, std::int64_t count, bool panning_camera) {
  SynthVideoOptions options;
  options.frames = count;
  options.height = model.profile().frames->height;
  options.width = model.profile().frames->width;
  options.panning_camera = panning_camera;
  const SynthClip clip = synth_video(seed, options);
  return frames_of(Array::from(clip.frames, {clip.count, clip.height, clip.width, 3}));
}

void check_first_frame(const VideoNetwork& network, const Array& frame) {
  const Model& model = network.model();
  const FrameProfile& profile = *model.profile().frames;
  Array normalized({1, frame.dim(0), frame.dim(1), 3}, DType::kF32);
  for (std::int64_t i = 0; i < frame.count(); ++i) {
    const auto c = static_cast<std::size_t>(i % 3);
    const float x = static_cast<float>(frame.data<std::uint8_t>()[i]) / 255;
    normalized.data<float>()[i] = (x - profile.mean[c]) / profile.std[c];
  }
  const Array expected = evaluate(model.graph(), model.parameters(), normalized);
  Recognizer stream(network);
  check_network(model.arch(), stream.push(frame).logits, expected.values<float>(), network.dtype());
}

}  // namespace voxshift::bench
