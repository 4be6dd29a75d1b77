#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/inputs.h>
#include <voxshift/graph/steps.h>

#include <algorithm>
#include <vector>

namespace voxshift {
namespace {

Array run(const Graph& graph, const Parameters& parameters, const InputView& x, Device device,
          const BeforeNode& before) {
  check(graph.inputs.size() == 1, "[evaluate] expected a network with one input, found ", graph.inputs.size());
  check_input("evaluate", graph, 0, x, device);
  Executor executor(
      std::make_shared<const Plan>(make_plan(graph, parameters, device, DType::kF32, Passes::kNone, {extent_of(x)})),
      device, 0);
  const ConstRowView in = place_input("evaluate", graph, 0, x, executor);
  executor.build();
  std::vector<Array> outs(executor.outputs());
  const auto memory = [&](std::size_t output) {
    outs[output] = Array({executor.output_rows(output), executor.output_channels(output)}, DType::kF32, device);
    return outs[output].memory();
  };
  executor.run({&in, 1}, memory, [&](Step& step, const ConstRowView& rows) {
    if (!before) return;
    const Node& node = *std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                     [&](const Node& candidate) { return candidate.name == step.name; });
    before(node, rows);
    const OpDefinition& op = *find_op(node.op);
    if (op.scale_shift != nullptr) dynamic_cast<AffineStep&>(step).set(op.scale_shift(node, parameters), device);
  });
  return outs.front();
}

}  // namespace

Array evaluate(const Graph& graph, const Parameters& parameters, const SparseTensor& input, const BeforeNode& before) {
  return run(graph, parameters, &input, input.device(), before);
}

Array evaluate(const Graph& graph, const Parameters& parameters, const PointSet& input, const BeforeNode& before) {
  return run(graph, parameters, &input, input.points.device(), before);
}

Array evaluate(const Graph& graph, const Parameters& parameters, const Array& frames, const BeforeNode& before) {
  return run(graph, parameters, &frames, frames.device(), before);
}

}  // namespace voxshift
