#include <voxshift/models/evaluate.h>
#include <voxshift/models/executor.h>
#include <voxshift/models/fold.h>

#include <algorithm>

namespace voxshift {
namespace {

// `set` gives the geometry the input's coordinates.
template <class Set>
Array run(const Graph& graph, const Parameters& parameters, GraphInput input, const Array& features,
          const BeforeNode& before, const Set& set) {
  check(graph.input == input && features.dim(1) == graph.in_channels, "[evaluate] the network takes ",
        graph.input == GraphInput::kPoints ? "points" : "voxels", " with ", graph.in_channels, " channels, found ",
        input == GraphInput::kPoints ? "points" : "voxels", " with ", features.dim(1));
  Graph sorted = graph;
  const auto channels = check_graph(sorted, parameters);
  Executor executor(make_plan(sorted, parameters, channels, features.device(), Passes::kNone), features.device(), 0);
  set(executor.geometry());
  executor.build();
  Array out({executor.output_rows(), channels.at(sorted.output)}, DType::kF32, features.device());
  executor.run(rows_of(features), out.data<float>(), [&](Step& step, const ConstRowView& x) {
    if (!before) return;
    const Node& node = *std::find_if(sorted.nodes.begin(), sorted.nodes.end(),
                                     [&](const Node& candidate) { return candidate.name == step.name; });
    before(node, x);
    if (node.op != Op::kBatchNorm) return;
    const ScaleShift norm = scale_shift_of(node, parameters);
    step.scale = norm.scale.to(features.device());
    step.shift = norm.shift.to(features.device());
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

}  // namespace voxshift
