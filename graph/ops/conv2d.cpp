#include <voxshift/graph/image_window.h>
#include <voxshift/graph/lowering.h>
#include <voxshift/video/kernels.h>

namespace voxshift::ops {
namespace {

bool is_depthwise(const Weights& weights, std::int64_t groups) {
  return groups > 1 && groups == weights.weight.dim(0) && weights.weight.dim(1) == 1;
}

class Conv2dStep final : public ImageProductStep {
 public:
  Conv2dStep(Extent2d in, Extent2d out, const Draft& draft, Conv2dLayer layer, bool depthwise)
      : ImageProductStep(in, out, draft, !depthwise), layer_(std::move(layer)), depthwise_(depthwise) {
    layer_.activation = kernel_activation();
  }

  std::string kind() const override {
    const std::string kernel = std::to_string(layer_.window.kernel), stride = std::to_string(layer_.window.stride);
    return (depthwise_ ? "depthwise " : "conv2d ") + kernel + "x" + kernel +
           (layer_.window.stride > 1 ? " / " + stride : "");
  }
  std::int64_t pairs(const Context&, const PlanRows& rows) const override {
    const std::int64_t taps = layer_.window.kernel * layer_.window.kernel;
    return rows.domain(domain).count * taps / (depthwise_ ? layer_.out_channels : 1);
  }
  std::size_t bytes() const override { return layer_.weights->bytes(); }

 protected:
  void multiply(const Context& context, const ConstRowView& x, const ConstRowView& residual,
                const RowView& y) const override {
    const VideoKernels& kernels = video_kernels(context.device);
    if (depthwise_) return kernels.depthwise(context, layer_, in(), x, {nullptr, y.count}, y);
    kernels.conv2d(context, layer_, in(), {ChannelRuns(x)}, residual, {nullptr, y.count}, y);
  }

 private:
  Conv2dLayer layer_;
  bool depthwise_;
};

void lower_conv2d(const Draft& draft, Lowering& lowering) {
  const Device device = lowering.device();
  const VideoKernels& kernels = video_kernels(device);
  const Context context{device, nullptr, num_threads(), nullptr};
  const Array weight = draft.weights.weight.to(device);
  const std::optional<Array> bias = draft.weights.bias ? std::optional(draft.weights.bias->to(device)) : std::nullopt;
  const std::int64_t groups = draft.node->whole("groups"), kernel = weight.dim(2);
  const bool depthwise = is_depthwise(draft.weights, groups);
  check(groups == 1 || depthwise, "[plan] node \"", draft.name(),
        "\" (conv2d) expects groups of 1 or of one channel each, found ", groups);
  Conv2dLayer layer{image_window_of(*draft.node, kernel), weight.dim(1), weight.dim(0), nullptr, {}};
  if (depthwise) {
    layer.in_channels = layer.out_channels;
    layer.weights = kernels.pack_depthwise(context, weight.data<float>(), floats_of(bias), kernel, layer.out_channels,
                                           lowering.dtype());
  } else {
    layer.weights = kernels.pack_conv2d(context, weight.data<float>(), floats_of(bias), kernel, layer.in_channels,
                                        layer.out_channels, lowering.dtype());
  }
  const Extent2d in = lowering.domains()[lowering.domain(draft.inputs[0])].extent,
                 out = lowering.domains()[lowering.domain(draft.output)].extent;
  lowering.add(draft, std::make_unique<Conv2dStep>(in, out, draft, std::move(layer), depthwise), draft.residual);
}

}  // namespace

extern const OpDefinition conv2d{
    .name = "conv2d",
    .text = "2-D convolution of images, as torch.nn.functional.conv2d; groups are 1 or of one channel each.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cout, Cin / groups, k, k]"}, {"bias", "[Cout]", false}},
    .attributes = {whole("stride", 1, kMostStride2d, "pixels", {std::int64_t{1}}),
                   whole("padding", 0, kMostKernel2d / 2, "zeros on every side, at most half the kernel",
                         {std::int64_t{0}}),
                   whole("groups", 1, kMostChannels, "divides the channels", {std::int64_t{1}})},
    .infer =
        [](Inference& node) {
          const Shape& shape = node.shape("weight");
          const std::int64_t in = node.in(0).channels, out = shape.front(), kernel = shape.back(),
                             groups = node.node().whole("groups");
          node.expect(out > 0, "has no output channels");
          node.expect(kernel >= 1 && kernel <= kMostKernel2d, "expects a kernel of 1 to ", kMostKernel2d, ", found ",
                      kernel);
          node.expect(in % groups == 0 && out % groups == 0, "expects groups that divide its ", in, " input and ", out,
                      " output channels, found ", groups);
          node.expect_parameter("weight", {{out, in / groups, kernel, kernel}});
          node.expect_parameter("bias", {{out}});
          return ValueType{inferred_images(node, image_window_of(node.node(), kernel)), out};
        },
    .lower = lower_conv2d,
    .weights = image_weights,
};

}  // namespace voxshift::ops
