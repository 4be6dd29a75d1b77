#include <voxshift/convert/axis_order.h>
#include <voxshift/convert/export_checkpoint.h>
#include <voxshift/convert/kernel_layout.h>
#include <voxshift/graph/safetensors.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

namespace voxshift {
namespace {

// The name of a module's tensor without the role.
std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }
std::string role_of(const std::string& tensor) { return tensor.substr(tensor.rfind('.') + 1); }

std::int64_t product(const PerAxis& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{1}, std::multiplies<>());
}

// Detectors, whose sources have z, y, x.
bool is_of_detector(const Model& model) { return model.detection() && model.graph().dims == 3; }

// Writes tensors down node by node, in the order of the graph.
class Exporter {
 public:
  Exporter(const Model& model, CheckpointStyle style)
      : model_(model), style_(style), reversed_(is_of_detector(model)) {}

  TorchFile file() {
    for (const Node& node : model_.graph().nodes)
      for (const auto& [role, tensor] : node.parameters)
        if (done_.insert(tensor).second) add(node, role, tensor);
    result_.key = wrapper();
    return std::move(result_);
  }

 private:
  void add(const Node& node, const std::string& role, const std::string& tensor) {
    const Array& values = model_.parameters().at(tensor);
    if (is_sparse_convolution(node) && on_cells(node))
      return add_named(tensor, role == "weight" ? dense(node, values) : values);
    if (is_sparse_convolution(node)) return add_sparse(node, role, tensor, values);
    const bool minkowski = style_ == CheckpointStyle::kMinkowski;
    const char* deeper = node.op == "batch_norm" ? ".bn" : node.op == "linear" ? ".linear" : "";
    const bool has_it = *deeper == '\0' || module_of(tensor).ends_with(deeper);
    const std::string name =
        minkowski && !has_it && on_voxels(node) ? module_of(tensor) + deeper + "." + role_of(tensor) : tensor;
    const bool transposed = reversed_ && role == "weight" && (node.op == "conv2d" || node.op == "conv_transpose2d");
    add_named(name, transposed ? permuted(values, {0, 1, 3, 2}) : values);
  }

  void add_sparse(const Node& node, const std::string& role, const std::string& tensor, const Array& values) {
    check(node.whole("groups") == 1, "[convert] node \"", node.name, "\" has ", node.whole("groups"),
          " groups; the libraries' sparse convolutions have none");
    const bool spconv = style_ == CheckpointStyle::kSpconv2;
    if (role == "weight") {
      const KernelShape kernel = kernel_shape(node, values.shape(), reversed_);
      Array stored = to_layout(values, kernel, layout());
      // Both libraries have a matrix only for one tap without a stride.
      if (!spconv && kernel.taps() == 1 && kernel.strided) stored = stored.reshaped({1, kernel.in, kernel.out});
      add_named(module_of(tensor) + (spconv ? ".weight" : ".kernel"), std::move(stored), spconv ? 2 : 1);
    } else {
      const bool row = style_ == CheckpointStyle::kMinkowski;
      add_named(tensor, row ? values.reshaped({1, values.count()}) : values, spconv ? 2 : 1);
    }
  }

  // Of cells of a grid around a cloud, torch.nn.Conv3d: [Cout, Cin, k, k, k].
  Array dense(const Node& node, const Array& weight) const {
    const PerAxis& size = node.per_axis("kernel_size");
    const std::int64_t in = weight.dim(weight.rank() == 3 ? 1 : 0), out = weight.shape().back();
    Shape shape{out, in};
    shape.insert(shape.end(), size.begin(), size.end());
    return permuted(weight.reshaped({product(size), in, out}), {2, 1, 0}).reshaped(shape);
  }

  KernelLayout layout() const {
    if (style_ == CheckpointStyle::kSpconv2) return KernelLayout::kSpconv22;
    return style_ == CheckpointStyle::kMinkowski ? KernelLayout::kMinkowski : KernelLayout::kTorchsparse;
  }

  bool on_cells(const Node& node) const { return kind_of(node) == Domain::Kind::kDense; }
  bool on_voxels(const Node& node) const {
    return model_.values().domains.is_voxels(model_.values().at(node.inputs[0]).domain);
  }
  Domain::Kind kind_of(const Node& node) const {
    return model_.values().domains[model_.values().at(node.inputs[0]).domain].kind;
  }

  // Norms are of version 1, so that PyTorch does not ask for num_batches_tracked; mmdetection3d knows the layout of
  // spconv 2 by version 2.
  void add_named(const std::string& name, Array values, std::int64_t version = 1) {
    const std::string module = module_of(name);
    for (std::size_t dot = module.find('.'); dot != std::string::npos; dot = module.find('.', dot + 1))
      result_.versions.emplace(module.substr(0, dot), 1);
    result_.versions.emplace("", 1);
    result_.versions[module] = version;
    result_.tensors.emplace_back(name, std::move(values));
  }

  std::string wrapper() const {
    const auto has = [&](const char* part) {
      return std::any_of(result_.tensors.begin(), result_.tensors.end(),
                         [&](const auto& tensor) { return tensor.first.find(part) != std::string::npos; });
    };
    if (reversed_ && has("dense_head.")) return "model_state";
    if (reversed_ && has("bbox_head.")) return "state_dict";
    return style_ == CheckpointStyle::kSpvnas ? "model" : "";
  }

  const Model& model_;
  CheckpointStyle style_;
  bool reversed_;
  std::set<std::string> done_;
  TorchFile result_;
};

}  // namespace

CheckpointStyle checkpoint_style(const std::string& name) {
  if (name == "spvnas") return CheckpointStyle::kSpvnas;
  if (name == "torchsparse") return CheckpointStyle::kTorchsparse;
  if (name == "spconv2") return CheckpointStyle::kSpconv2;
  if (name == "minkowski") return CheckpointStyle::kMinkowski;
  throw InvalidArgument("[convert] to expects spvnas, torchsparse, spconv2 or minkowski, found \"" + name + "\"");
}

TorchFile checkpoint_of(const Model& model, CheckpointStyle style) { return Exporter(model, style).file(); }

void write_checkpoint(const std::filesystem::path& path, const Model& model, CheckpointStyle style) {
  const TorchFile file = checkpoint_of(model, style);
  if (path.extension() != ".safetensors") return write_torch_file(path, file);
  write_safetensors(path, {{file.tensors.begin(), file.tensors.end()}, {{"format", "pt"}}});
}

std::vector<std::string> export_notes(const Model& model, CheckpointStyle style) {
  const std::string expected = style == CheckpointStyle::kSpconv2 ? "bounded" : "floor";
  std::int64_t others = 0;
  for (const Node& node : model.graph().nodes)
    if (node.op == "conv" && product(node.per_axis("stride")) > 1 && node.word("semantics") != expected) ++others;
  if (others == 0) return {};
  return {std::to_string(others) + " strided convolutions keep other voxels in this library than in the model"};
}

}  // namespace voxshift
