// A tiny run of any small model: what its file asks for must be computed or refused.
#pragma once

#include <voxshift/graph/product.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <vector>

#include "fuzz_input.h"

namespace voxshift::fuzz {

/// Whether the model costs little, so that slow runs are findings.
inline bool is_small(const Model& model) {
  constexpr std::int64_t kMostChannels = 64, kMostCount = 64, kMostResolution = 8, kMostPixels = 32 * 32;
  constexpr std::size_t kMostNodes = 24;
  constexpr double kMostOffsets = 4096;  // of all windows together: bounded ones may multiply rows by theirs
  const auto& nodes = model.graph().nodes;
  double offsets = 1;
  for (const Node& node : nodes)
    if (node.op == "conv" || node.op == "conv_transpose" || node.op == "generative_conv_transpose")
      offsets *= window_of(node).volume();
  const Domains& domains = model.values().domains;
  std::int64_t pixels = 0;
  for (std::size_t d = 0; d < domains.size(); ++d)
    pixels = std::max(pixels, domains[static_cast<int>(d)].extent.pixels());
  const auto& frames = model.profile().frames;
  return nodes.size() <= kMostNodes && offsets <= kMostOffsets && pixels <= kMostPixels &&
         std::ranges::all_of(model.values().types,
                             [](const auto& value) { return value.second.channels <= kMostChannels; }) &&
         std::ranges::all_of(nodes,
                             [](const Node& node) {
                               return (!node.attributes.contains("count") || node.whole("count") <= kMostCount) &&
                                      (node.op != "voxelize_dense" || node.whole("resolution") <= kMostResolution);
                             }) &&
         (!frames || frames->height * frames->width <= kMostPixels);
}

/// 20 rows of whole numbers and halves, some of which occur twice.
inline Array rows(std::int64_t columns) {
  constexpr std::int64_t kRows = 20;
  Array array({kRows, columns}, DType::kF32);
  for (std::int64_t i = 0; i < array.count(); ++i) array.data<float>()[i] = static_cast<float>(i * i * 7 % 23 - 11) / 2;
  return array;
}

/// A line of voxels and one apart, in a grid of a known extent.
inline SparseTensor voxels(int dims, std::int64_t channels) {
  constexpr std::int32_t kExtent = 8;
  std::vector<std::int32_t> coords;
  for (std::int32_t row = 0; row < kExtent; ++row) {
    coords.push_back(0);
    for (int d = 0; d < dims; ++d) coords.push_back(d == 0 ? row : row == 0 ? 0 : 5);
  }
  Array features({kExtent, channels}, DType::kF32);
  std::fill_n(features.data<float>(), features.count(), 0.5f);
  SparseTensor::Options options;
  options.shape.emplace(SparseTensor::Extents{kExtent, kExtent, kExtent, kExtent});
  return {Array::from(coords, {kExtent, dims + 1}), features, options};
}

/// The rows of one of several inputs, of a frame of its own.
inline Input operand(const Graph& graph, const GraphInput& input) {
  if (input.kind == InputKind::kFrames) {
    Array frame({1, 6, 8, input.channels}, DType::kF32);
    std::fill_n(frame.data<float>(), frame.count(), 0.5f);
    return frame;
  }
  if (input.kind == InputKind::kPoints)
    return input.rows_of.empty() ? Input(PointSet{rows(input.channels), {}}) : Input(rows(input.channels));
  const SparseTensor x = voxels(graph.dims, input.channels);
  return input.rows_of.empty() ? Input(x) : Input(x.features());
}

inline void run(const Model& model) {
  if (!is_small(model)) return;
  const Graph& graph = model.graph();
  if (graph.inputs.size() > 1) {
    Inputs inputs;
    for (const GraphInput& input : graph.inputs) inputs.emplace(input.name, operand(graph, input));
    may_refuse([&] { Session(model.network(), Device::cpu(), Threads(1)).run(inputs); });
    return;
  }
  if (graph.input().kind == InputKind::kFrames) {
    const FrameProfile& frames = *model.profile().frames;
    const VideoNetwork network(model);
    Array frame({frames.height, frames.width, 3}, DType::kU8);
    std::fill_n(frame.data<std::uint8_t>(), frame.count(), std::uint8_t{100});
    if (network.bidirectional())
      return static_cast<void>(recognize_frames(network, Array({2, frames.height, frames.width, 3}, DType::kU8), 1));
    StreamOptions options;
    options.skip = Skip::kExact;
    options.threads = Threads(1);
    Recognizer stream(network, options);
    stream.push(frame);
    frame.data<std::uint8_t>()[0] = 0;
    stream.push(frame);
    return;
  }
  Segmenter segmenter(model, Device::cpu(), Threads(1));
  if (graph.input().kind == InputKind::kVoxels) {
    segmenter.session().run(voxels(graph.dims, graph.input().channels));
  } else {
    segmenter.session().run(PointSet{rows(graph.input().channels), {}});
  }
  may_refuse([&] { segmenter.segment(rows(std::max<std::int64_t>(3, model.profile().columns()))); });
}

}  // namespace voxshift::fuzz
