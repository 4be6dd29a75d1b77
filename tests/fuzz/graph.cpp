// Bytes as a graph, whose tensors are called by their shapes, "3x16 conv1", so that no data is needed: it is checked,
// written and read again, and run.
#include <sstream>

#include "run_model.h"

namespace {

using namespace voxshift;

/// The tensor of that name; an empty one where the name is no shape of a small one.
Array tensor_of(const std::string& name) {
  constexpr std::int64_t kMostNumbers = 1 << 14;
  std::istringstream text(name.substr(0, name.find(' ')));
  Shape shape;
  std::int64_t numbers = 1;
  char by = 'x';
  for (std::int64_t extent = 0; by == 'x' && text >> extent && extent >= 1 && extent <= kMostNumbers; text >> by) {
    shape.push_back(extent);
    numbers *= extent;
    by = 0;
    if (numbers > kMostNumbers) return {};
  }
  Array tensor(shape, DType::kF32);
  for (std::int64_t i = 0; i < tensor.count(); ++i) tensor.data<float>()[i] = static_cast<float>(i % 5) / 4;
  return tensor;
}

std::optional<Profile> profile_for(const Graph& graph) {
  if (graph.inputs.size() != 1) return {};
  Profile profile;
  profile.name = "plain";
  if (graph.input().kind == InputKind::kFrames) {
    profile.frames.emplace();
    profile.frames->height = 12;
    profile.frames->width = 8;
  } else {
    if (graph.input().channels < 3 || graph.input().channels > 64) return {};
    profile.scale.assign(static_cast<std::size_t>(graph.input().channels), 1.0f);
  }
  if (graph.input().kind == InputKind::kPoints) profile.blocks = BlockOptions{8, 8, false};
  return profile;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] {
    Graph graph = graph_from_text(fuzz::text_of(data, size));
    const std::string text = to_text(graph);
    fuzz::expect(to_text(graph_from_text(text)) == text, "the same graph again");
    Parameters parameters;
    for (const Node& node : graph.nodes)
      for (const auto& [role, tensor] : node.parameters) parameters.emplace(tensor, tensor_of(tensor));
    const std::int64_t classes = check_graph(graph, parameters).channels(graph.output());
    if (classes > 64) return;
    const std::vector<ClassInfo> table(static_cast<std::size_t>(classes), {"a class", 1, {1, 2, 3}});
    fuzz::run(Model("fuzz", graph, parameters, profile_for(graph), table));
  });
  return 0;
}
