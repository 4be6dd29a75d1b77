#include <voxshift/graph/product.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/packed_weights.h>

#include <algorithm>
#include <limits>

namespace voxshift {
namespace {

constexpr std::int64_t kMostExtent = std::numeric_limits<std::int32_t>::max();

Window::Extents extents_of(const PerAxis& values, std::int32_t rest) {
  Window::Extents result{rest, rest, rest, rest};
  std::transform(values.begin(), values.end(), result.begin(),
                 [](std::int64_t value) { return static_cast<std::int32_t>(value); });
  return result;
}

std::string times(const Window::Extents& extents, int dims) {
  std::string text;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) {
    if (d > 0) text += 'x';
    text += std::to_string(extents[d]);
  }
  return text;
}

// What products hold beside their weights.
class BiasedStep : public Step {
 public:
  BiasedStep(const Draft& draft, Device device) : activation_(draft.activation), residual_last_(draft.residual_last) {
    if (draft.weights.bias) bias_ = draft.weights.bias->to(device);
  }

 protected:
  Epilogue epilogue(const ConstRowView& residual) const {
    return {floats_of(bias_), residual, activation_, residual_last_};
  }

 private:
  std::optional<Array> bias_;
  Activation activation_;
  bool residual_last_;
};

// One product for each group of channels: neighbouring columns of the rows.
class ProductStep : public BiasedStep {
 public:
  using Groups = std::vector<std::shared_ptr<const PackedWeights>>;

  ProductStep(const Draft& draft, Device device, Groups weights)
      : BiasedStep(draft, device), weights_(std::move(weights)) {}
  std::int64_t groups() const final { return static_cast<std::int64_t>(weights_.size()); }
  std::size_t bytes() const final {
    std::size_t total = 0;
    for (const auto& group : weights_) total += group->bytes();
    return total;
  }
  void run(const StepRun& run) const final {
    const std::int64_t in = run.x.channels / groups(), out = run.y.channels / groups();
    for (std::int64_t g = 0; g < groups(); ++g) {
      Epilogue end = epilogue(run.other);
      if (end.bias != nullptr) end.bias += g * out;
      if (end.residual.base != nullptr) end.residual = end.residual.columns(g * out, out);
      multiply(run, run.x.columns(g * in, in), *weights_[static_cast<std::size_t>(g)], end,
               run.y.columns(g * out, out));
    }
  }

 private:
  virtual void multiply(const StepRun& run, const ConstRowView& x, const PackedWeights& weights,
                        const Epilogue& epilogue, const RowView& y) const = 0;

  Groups weights_;
};

// Every row by itself.
class LinearStep final : public ProductStep {
 public:
  using ProductStep::ProductStep;
  std::string kind() const override { return "linear"; }
  bool row_by_row() const override { return true; }
  std::int64_t pairs(const Context&, const PlanRows& rows) const override { return rows.domain(domain).count; }

 private:
  void multiply(const StepRun& run, const ConstRowView& x, const PackedWeights& weights, const Epilogue& epilogue,
                const RowView& y) const override {
    row_kernels(run.context.device).linear(run.context, x, weights, epilogue, y);
  }
};

// A kernel map, forward or from coarse to fine.
struct PairsOf {
  int map;
  Window window;
  bool transposed;

  std::string kind() const {
    const std::string text = (transposed ? "conv_transpose " : "conv ") + times(window.size, window.dims);
    const bool even = std::all_of(window.stride.begin(), window.stride.begin() + window.dims,
                                  [&](int s) { return s == window.stride[0]; });
    return window.unit_stride()
               ? text
               : text + " / " + (even ? std::to_string(window.stride[0]) : times(window.stride, window.dims));
  }
  const KernelMapView& view(const PlanRows& rows) const {
    return transposed ? rows.map(map).transposed : rows.map(map).forward;
  }
  std::int64_t count(const Context& context, const PlanRows& rows) const {
    return coordinate_kernels(context.device).pair_count(context, rows.map(map).forward);
  }
};

class ConvStep final : public ProductStep {
 public:
  ConvStep(const Draft& draft, Device device, Groups weights, const PairsOf& pairs)
      : ProductStep(draft, device, std::move(weights)), pairs_(pairs) {}

  std::string kind() const override { return pairs_.kind(); }
  std::int64_t pairs(const Context& context, const PlanRows& rows) const override {
    return pairs_.count(context, rows);
  }

 private:
  void multiply(const StepRun& run, const ConstRowView& x, const PackedWeights& weights, const Epilogue& epilogue,
                const RowView& y) const override {
    sparse_conv_kernels(run.context.device).conv(run.context, x, pairs_.view(run.rows), weights, epilogue, y);
  }

  PairsOf pairs_;
};

// As many groups as channels, each with one output.
class DepthwiseStep final : public BiasedStep {
 public:
  DepthwiseStep(const Draft& draft, Device device, Array weight, const PairsOf& pairs)
      : BiasedStep(draft, device), weight_(std::move(weight)), pairs_(pairs) {}

  std::string kind() const override { return "depthwise " + pairs_.kind(); }
  std::size_t bytes() const override { return weight_.bytes(); }
  std::int64_t groups() const override { return weight_.dim(2); }
  std::int64_t pairs(const Context& context, const PlanRows& rows) const override {
    return pairs_.count(context, rows);
  }
  void run(const StepRun& run) const override {
    sparse_conv_kernels(run.context.device)
        .depthwise(run.context, run.x, pairs_.view(run.rows), weight_.data<float>(), epilogue(run.other), run.y);
  }

 private:
  const Array weight_;
  PairsOf pairs_;
};

// The weights [K, Cin / groups, Cout] of one of several groups.
template <class T>
Array group_weight(const Array& weight, std::int64_t groups, std::int64_t group) {
  const std::int64_t rows = weight.dim(0) * weight.dim(1), out = weight.dim(2) / groups;
  Array part({weight.dim(0), weight.dim(1), out}, weight.dtype());
  for (std::int64_t r = 0; r < rows; ++r)
    std::copy_n(weight.data<T>() + (r * groups + group) * out, out, part.data<T>() + r * out);
  return part;
}

Array group_weight(const Array& weight, std::int64_t groups, std::int64_t group) {
  if (groups == 1) return weight;
  return weight.dtype() == DType::kI8 ? group_weight<std::int8_t>(weight, groups, group)
                                      : group_weight<float>(weight, groups, group);
}

// Packs the weights of each group, for a product of every row or for one on a kernel map.
ProductStep::Groups packed_groups(const Weights& weights, std::int64_t groups, bool every_row, Device device,
                                  DType dtype) {
  const Context context{device, nullptr, num_threads(), nullptr};
  const RowKernels& rows = row_kernels(device);
  const SparseConvKernels& maps = sparse_conv_kernels(device);
  std::optional<Array> multiplier;
  if (weights.multiplier) multiplier = weights.multiplier->to(device);
  ProductStep::Groups packed;
  for (std::int64_t g = 0; g < groups; ++g) {
    const Array weight = group_weight(weights.weight, groups, g).to(device);
    const std::int64_t volume = weight.dim(0), in = weight.dim(1), out = weight.dim(2);
    if (multiplier) {
      const QuantizedWeights whole{weight.data<std::int8_t>(), floats_of(multiplier) + g * out};
      packed.push_back(every_row ? rows.pack_i8(context, whole, in, out)
                                 : maps.pack_i8(context, whole, volume, in, out));
    } else {
      const auto* values = weight.data<float>();
      packed.push_back(every_row ? rows.pack(context, values, in, out, dtype)
                                 : maps.pack(context, values, volume, in, out, dtype));
    }
  }
  return packed;
}

}  // namespace

Window window_of(const Node& node) {
  Window window;
  window.dims = static_cast<int>(node.per_axis("kernel_size").size());
  window.size = extents_of(node.per_axis("kernel_size"), 1);
  window.stride = extents_of(node.per_axis("stride"), 1);
  window.dilation = extents_of(node.per_axis("dilation"), 1);
  window.pad = extents_of(node.per_axis("padding"), 0);
  window.semantics = node.word("semantics") == "floor" ? Semantics::kFloor : Semantics::kBounded;
  if (node.attributes.count("output_padding") > 0) window.output_pad = extents_of(node.per_axis("output_padding"), 0);
  return window;
}

Attributes attributes_of(const Window& window) {
  const auto values = [&](const Window::Extents& e) { return PerAxis(e.begin(), e.begin() + window.dims); };
  Attributes result{{"kernel_size", values(window.size)},
                    {"stride", values(window.stride)},
                    {"dilation", values(window.dilation)},
                    {"padding", values(window.pad)},
                    {"semantics", window.semantics == Semantics::kFloor ? "floor" : "bounded"}};
  if (window.output_pad != Window::Extents{0, 0, 0, 0}) result["output_padding"] = values(window.output_pad);
  return result;
}

std::vector<AttributeSpec> window_attributes() {
  return {per_axis("kernel_size", 1, kMostExtent, "taps of the window, at most 4096 in all", {std::int64_t{1}}),
          per_axis("stride", 1, kMostExtent, "rows of the coarser grid are this far apart", {std::int64_t{1}}),
          per_axis("dilation", 1, kMostExtent, "distance of two taps", {std::int64_t{1}}),
          per_axis("padding", 0, kMostExtent, "with bounded semantics", {std::int64_t{0}}),
          word("semantics", {"floor", "bounded"},
               "floor: outputs are unique(floor(c / stride)), odd windows centred, as MinkowskiEngine and torchsparse; "
               "bounded: every output that a tap touches, as spconv")};
}

Window inferred_window(const Inference& node) {
  const Window window = window_of(node.node());
  window.check_valid(("graph: node \"" + node.node().name + "\"").c_str());
  const Window::Extents none{0, 0, 0, 0};
  node.expect(window.semantics == Semantics::kBounded || (window.pad == none && window.output_pad == none),
              "has padding, which belongs to bounded semantics");
  return window;
}

std::vector<ParameterSpec> convolution_parameters() {
  return {{"weight", "[K, Cin / groups, Cout], or [Cin / groups, Cout] where K = 1"},
          {"bias", "[Cout]", false},
          weight_scale()};
}

std::vector<AttributeSpec> convolution_attributes() {
  return with(window_attributes(),
              whole("groups", 1, kMostChannels,
                    "input channels fall into so many groups, each of which makes its share of the "
                    "output channels",
                    {std::int64_t{1}}));
}

std::vector<AttributeSpec> with(std::vector<AttributeSpec> specs, AttributeSpec more) {
  specs.push_back(std::move(more));
  return specs;
}

int inferred_coarser(Inference& node, const Window& window) {
  if (keeps_rows(window)) return node.in(0).domain;
  Domain coarser;
  coarser.kind = Domain::Kind::kCoarser;
  coarser.parent = node.expect_voxels(0);
  coarser.window = window;
  return node.domains().find_or_add(coarser);
}

bool keeps_rows(const Window& window) { return window.semantics == Semantics::kFloor && window.unit_stride(); }

std::int64_t inferred_channels(const Inference& node, const Window& window) {
  const std::int64_t in = node.in(0).channels, out = node.shape("weight").back(), volume = window.volume();
  const std::int64_t groups = node.node().whole("groups");
  node.expect(out > 0, "has no output channels");
  node.expect(in % groups == 0 && out % groups == 0, "has groups of ", groups, ", which divides not both ", in,
              " input and ", out, " output channels");
  std::vector<Shape> allowed{{volume, in / groups, out}};
  if (volume == 1) allowed.push_back({in / groups, out});
  node.expect_parameter("weight", allowed);
  node.expect_parameter("bias", {{out}});
  return out;
}

Weights convolution_weights(const Node& node, const Parameters& parameters) {
  const Array& weight = parameters.at(node.parameters.at("weight"));
  return {weight.rank() == 2 ? weight.reshaped({1, weight.dim(0), weight.dim(1)}) : weight, bias_of(node, parameters),
          parameter_of(node, parameters, kWeightScale)};
}

void lower_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed) {
  const Device device = lowering.device();
  const Array& weight = draft.weights.weight;
  const std::int64_t channels = lowering.channels(draft.inputs[0]),
                     groups = channels / std::max<std::int64_t>(weight.dim(1), 1);
  const bool every_row = window.volume() == 1 && keeps_rows(window);
  PairsOf pairs{-1, window, transposed};
  if (!every_row) {
    const int in = lowering.domain(draft.inputs[0]), out = lowering.domain(draft.output);
    pairs.map = transposed ? lowering.map(out, in, window) : lowering.map(in, out, window);
  }
  std::unique_ptr<Step> step;
  if (!every_row && groups > 1 && groups == channels && groups == weight.dim(2)) {
    check(!draft.weights.multiplier, "[plan] node \"", draft.output,
          "\" is a sparse depthwise convolution, which has no i8");
    step = std::make_unique<DepthwiseStep>(draft, device, weight.to(device), pairs);
  } else {
    auto packed = packed_groups(draft.weights, groups, every_row, device, lowering.input_dtype(draft));
    if (every_row)
      step = std::make_unique<LinearStep>(draft, device, std::move(packed));
    else
      step = std::make_unique<ConvStep>(draft, device, std::move(packed), pairs);
  }
  lowering.add(draft, std::move(step), draft.residual);
}

}  // namespace voxshift
