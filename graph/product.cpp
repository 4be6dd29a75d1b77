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

// What both kinds of product hold.
class ProductStep : public Step {
 public:
  ProductStep(const Draft& draft, Device device, std::shared_ptr<const PackedWeights> weights)
      : weights_(std::move(weights)), activation_(draft.activation), residual_last_(draft.residual_last) {
    if (draft.weights.bias) bias_ = draft.weights.bias->to(device);
  }
  std::size_t bytes() const override { return weights_->bytes(); }

 protected:
  Epilogue epilogue(const ConstRowView& residual) const {
    return {floats_of(bias_), residual, activation_, residual_last_};
  }
  const PackedWeights& weights() const { return *weights_; }

 private:
  std::shared_ptr<const PackedWeights> weights_;
  std::optional<Array> bias_;
  Activation activation_;
  bool residual_last_;
};

// Every row by itself.
class LinearStep final : public ProductStep {
 public:
  using ProductStep::ProductStep;
  std::string kind() const override { return "linear"; }
  void run(const StepRun& run) const override {
    row_kernels(run.context.device).linear(run.context, run.x, weights(), epilogue(run.other), run.y);
  }
  bool row_by_row() const override { return true; }
  std::int64_t pairs(const Context&, const PlanRows& rows) const override { return rows.domain(domain).count; }
};

// On a kernel map, forward or from coarse to fine.
class ConvStep final : public ProductStep {
 public:
  ConvStep(const Draft& draft, Device device, std::shared_ptr<const PackedWeights> weights, int map,
           const Window& window, bool transposed)
      : ProductStep(draft, device, std::move(weights)), map_(map), window_(window), transposed_(transposed) {}

  std::string kind() const override {
    const Window& w = window_;
    const std::string text = (transposed_ ? "conv_transpose " : "conv ") + times(w.size, w.dims);
    const bool even = std::all_of(w.stride.begin(), w.stride.begin() + w.dims, [&](int s) { return s == w.stride[0]; });
    return w.unit_stride() ? text : text + " / " + (even ? std::to_string(w.stride[0]) : times(w.stride, w.dims));
  }
  void run(const StepRun& run) const override {
    const KernelMapViews& map = run.rows.map(map_);
    sparse_conv_kernels(run.context.device)
        .conv(run.context, run.x, transposed_ ? map.transposed : map.forward, weights(), epilogue(run.other), run.y);
  }
  std::int64_t pairs(const Context& context, const PlanRows& rows) const override {
    return coordinate_kernels(context.device).pair_count(context, rows.map(map_).forward);
  }

 private:
  int map_;
  Window window_;
  bool transposed_;
};

}  // namespace

Window window_of(const Node& node) {
  Window window;
  window.dims = static_cast<int>(node.per_axis("kernel_size").size());
  window.size = extents_of(node.per_axis("kernel_size"), 1);
  window.stride = extents_of(node.per_axis("stride"), 1);
  window.dilation = extents_of(node.per_axis("dilation"), 1);
  window.pad = extents_of(node.per_axis("padding"), 0);
  window.semantics = node.word("semantics") == "floor" ? Semantics::kFloor : Semantics::kBounded;
  return window;
}

Attributes attributes_of(const Window& window) {
  const auto values = [&](const Window::Extents& e) { return PerAxis(e.begin(), e.begin() + window.dims); };
  return {{"kernel_size", values(window.size)},
          {"stride", values(window.stride)},
          {"dilation", values(window.dilation)},
          {"padding", values(window.pad)},
          {"semantics", window.semantics == Semantics::kFloor ? "floor" : "bounded"}};
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
  node.expect(window.semantics == Semantics::kBounded || window.pad == Window::Extents{0, 0, 0, 0},
              "has padding, which belongs to bounded semantics");
  return window;
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
  node.expect(out > 0, "has no output channels");
  std::vector<Shape> allowed{{volume, in, out}};
  if (volume == 1) allowed.push_back({in, out});
  node.expect_parameter("weight", allowed);
  node.expect_parameter("bias", {{out}});
  return out;
}

Weights convolution_weights(const Node& node, const Parameters& parameters) {
  const Array& weight = parameters.at(node.parameters.at("weight"));
  return {weight.rank() == 2 ? weight.reshaped({1, weight.dim(0), weight.dim(1)}) : weight, bias_of(node, parameters)};
}

void lower_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed) {
  const Device device = lowering.device();
  const Array weight = draft.weights.weight.to(device);
  const auto* values = weight.data<float>();
  const Context context{device, nullptr, num_threads(), nullptr};
  std::unique_ptr<Step> step;
  if (window.volume() == 1 && keeps_rows(window)) {
    auto packed = row_kernels(device).pack(context, values, weight.dim(1), weight.dim(2), lowering.dtype());
    step = std::make_unique<LinearStep>(draft, device, std::move(packed));
  } else {
    const int in = lowering.domain(draft.inputs[0]), out = lowering.domain(draft.output);
    const int map = transposed ? lowering.map(out, in, window) : lowering.map(in, out, window);
    auto packed = sparse_conv_kernels(device).pack(context, values, weight.dim(0), weight.dim(1), weight.dim(2),
                                                   lowering.dtype());
    step = std::make_unique<ConvStep>(draft, device, std::move(packed), map, window, transposed);
  }
  lowering.add(draft, std::move(step), draft.residual);
}

}  // namespace voxshift
