#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/executor.h>
#include <voxshift/graph/steps.h>

#include <algorithm>

namespace voxshift {
namespace {

// `set` gives the geometry the input's coordinates.
template <class Set>
Array run(const Graph& graph, const Parameters& parameters, GraphInput input, const Array& features,
          const BeforeNode& before, const Set& set, Extent2d frame = {}) {
  check(graph.input == input && features.dim(1) == graph.in_channels, "[evaluate] the network takes ",
        name(graph.input), " with ", graph.in_channels, " channels, found ", name(input), " with ", features.dim(1));
  Executor executor(
      std::make_shared<const Plan>(make_plan(graph, parameters, features.device(), DType::kF32, Passes::kNone, frame)),
      features.device(), 0);
  set(executor.geometry());
  executor.build();
  check(executor.outputs() == 1, "[evaluate] expected a network with one output, found ", executor.outputs());
  Array out;
  const auto memory = [&](std::size_t) {
    out = Array({executor.output_rows(), executor.output_channels()}, DType::kF32, features.device());
    return out.memory();
  };
  executor.run(rows_of(features), memory, [&](Step& step, const ConstRowView& x) {
    if (!before) return;
    const Node& node = *std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                     [&](const Node& candidate) { return candidate.name == step.name; });
    before(node, x);
    const OpDefinition& op = *find_op(node.op);
    if (op.scale_shift != nullptr)
      dynamic_cast<AffineStep&>(step).set(op.scale_shift(node, parameters), features.device());
  });
  return out;
}

}  // namespace

Array evaluate(const Graph& graph, const Parameters& parameters, const SparseTensor& input, const BeforeNode& before) {
  return run(graph, parameters, GraphInput::kVoxels, input.features(), before,
             [&](Geometry& geometry) { geometry.set_voxels(input.map()->level(), input.shape()); });
}

Array evaluate(const Graph& graph, const Parameters& parameters, const PointSet& input, const BeforeNode& before) {
  const PointSet clouds = checked(input, "evaluate", "points");
  return run(graph, parameters, GraphInput::kPoints, clouds.points, before,
             [&](Geometry& geometry) { geometry.set_points(clouds_of(clouds)); });
}

Array evaluate(const Graph& graph, const Parameters& parameters, const Array& frames, const BeforeNode& before) {
  check(frames.dtype() == DType::kF32 && frames.rank() == 4 && frames.count() > 0,
        "[evaluate] frames expects f32 [T, H, W, C], found ", name(frames.dtype()), " ", frames.shape());
  const Extent2d extent{frames.dim(1), frames.dim(2)};
  return run(
      graph, parameters, GraphInput::kFrames, frames.reshaped({frames.dim(0) * extent.pixels(), frames.dim(3)}), before,
      [&](Geometry& geometry) { geometry.set_frames(frames.dim(0)); }, extent);
}

}  // namespace voxshift
