#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_window.h>
#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/video/kernels.h>

#include <algorithm>

namespace voxshift::ops {
namespace {

// Whether every output pixel has one source.
bool tiles(const Node& node, const Window& window) {
  return window.size == window.stride && window.size[0] == window.size[1] && window.size[0] <= kMostStride2d &&
         window.pad == Window::Extents{0, 0, 0, 0} && window.dilation == Window::Extents{1, 1, 1, 1} &&
         node.per_axis("output_padding") == PerAxis{0, 0} && node.whole("groups") == 1;
}

// A product of every pixel with the k * k matrices of its output pixels, which are then put in their places.
class ConvTranspose2dStep final : public ImageProductStep {
 public:
  ConvTranspose2dStep(Extent2d in, std::int64_t kernel, const Draft& draft,
                      std::shared_ptr<const PackedWeights> weights, std::optional<Array> bias)
      : ImageProductStep(in, {in.height * kernel, in.width * kernel}, draft, false),
        kernel_(kernel),
        weights_(std::move(weights)),
        bias_(std::move(bias)) {}

  std::string kind() const override {
    const std::string k = std::to_string(kernel_);
    return "conv_transpose2d " + k + "x" + k + " / " + k;
  }
  std::int64_t pairs(const Context&, const PlanRows& rows) const override { return rows.domain(domain).count; }
  std::size_t bytes() const override { return weights_->bytes(); }

 protected:
  void multiply(const Context& context, const ConstRowView& x, const ConstRowView&, const RowView& y) const override {
    const std::int64_t width = kernel_ * kernel_ * y.channels;
    const Arena::Mark mark = context.arena->mark();
    auto* taps = context.arena->allocate_bytes(static_cast<std::size_t>(x.count * width) * size_of(x.dtype));
    const RowView all{taps, width, x.count, width, x.dtype};
    row_kernels(context.device).linear(context, x, *weights_, {floats_of(bias_), {}, kernel_activation(), false}, all);
    video_kernels(context.device).spread_pixels(context, all, in(), kernel_, y);
    context.arena->rewind(mark);
  }

 private:
  std::int64_t kernel_;
  std::shared_ptr<const PackedWeights> weights_;
  std::optional<Array> bias_;  // of every tap
};

void lower_conv_transpose2d(const Draft& draft, Lowering& lowering) {
  const Weights& weights = draft.weights;  // [Cout, Cin, k, k]
  const Window window = pixel_window(*draft.node, {weights.weight.dim(2), weights.weight.dim(3)});
  if (!tiles(*draft.node, window)) return lower_image_convolution(draft, lowering, window, true);
  const std::int64_t out = weights.weight.dim(0), in = weights.weight.dim(1), kernel = weights.weight.dim(2),
                     taps = kernel * kernel;
  Array matrix({in, taps * out}, DType::kF32);
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t t = 0; t < taps; ++t)
        matrix.data<float>()[i * taps * out + t * out + o] = weights.weight.data<float>()[(o * in + i) * taps + t];
  std::optional<Array> bias;
  if (weights.bias) {
    bias = Array({taps * out}, DType::kF32);
    for (std::int64_t c = 0; c < taps * out; ++c) bias->data<float>()[c] = weights.bias->data<float>()[c % out];
    bias = bias->to(lowering.device());
  }
  const Array there = matrix.to(lowering.device());
  const Context context{lowering.device(), nullptr, num_threads(), nullptr};
  auto packed =
      row_kernels(lowering.device()).pack(context, there.data<float>(), in, taps * out, lowering.input_dtype(draft));
  const Extent2d extent = lowering.domains()[lowering.domain(draft.inputs[0])].extent;
  lowering.add(draft, std::make_unique<ConvTranspose2dStep>(extent, kernel, draft, std::move(packed), std::move(bias)),
               draft.residual);
}

ValueType infer_conv_transpose2d(Inference& node) {
  const Shape& shape = node.shape("weight");
  const std::int64_t in = node.in(0).channels, groups = node.node().whole("groups");
  const std::int64_t each = shape.size() == 4 ? shape[1] : 0, out = each * groups;
  node.expect(out > 0, "has no output channels");
  node.expect(in % groups == 0, "expects groups that divide its ", in, " input channels, found ", groups);
  const Extent2d taps = expected_taps(node, in, each);
  node.expect_parameter("bias", {{out}});
  const Window window = pixel_window(node.node(), taps);
  const Extent2d extent = input_extent(node);
  const PerAxis more = node.node().per_axis("output_padding");
  const auto length = [&](std::size_t axis, std::int64_t n) {
    const std::int64_t stride = window.stride[axis], dilation = window.dilation[axis];
    node.expect(more[axis] < std::max(stride, dilation), "expects an output_padding below its stride ", stride,
                " or dilation ", dilation, ", found ", more[axis]);
    const std::int64_t result =
        (n - 1) * stride - 2 * window.pad[axis] + dilation * (window.size[axis] - 1) + more[axis] + 1;
    node.expect(result > 0 || extent.pixels() == 0, "has padding ", window.pad[axis], " that leaves no pixels of ", n);
    return result;
  };
  const Extent2d made{length(0, extent.height), length(1, extent.width)};
  const int images = inferred_images(node, made);
  if (tiles(node.node(), window)) {
    const std::int64_t pixels = taps.height * taps.width;
    node.expect(out * pixels <= kMostChannels, "gives ", pixels, " pixels of ", out, " channels for each, at most ",
                kMostChannels, " channels in all");
  } else {
    expect_map_fits(node, window, extent.pixels() > made.pixels() ? extent : made);
  }
  return {images, out};
}

// [Cin, Cout / groups, ..] as [Cout, Cin / groups, ..], the order of conv2d's: what batch norm is folded into.
Weights conv2d_weights(const Node& node, const Parameters& parameters) {
  const Weights given = image_weights(node, parameters);
  const std::int64_t groups = node.whole("groups"), in = given.weight.dim(0) / groups, out = given.weight.dim(1),
                     taps = given.weight.dim(2) * given.weight.dim(3);
  Weights weights{Array({groups * out, in, given.weight.dim(2), given.weight.dim(3)}, DType::kF32), given.bias};
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t i = 0; i < in; ++i)
        std::copy_n(given.weight.data<float>() + ((g * in + i) * out + o) * taps, taps,
                    weights.weight.data<float>() + ((g * out + o) * in + i) * taps);
  return weights;
}

}  // namespace

extern const OpDefinition conv_transpose2d{
    .name = "conv_transpose2d",
    .text = "Transposed 2-D convolution of images, as torch.nn.functional.conv_transpose2d.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cin, Cout / groups, height, width]"}, {"bias", "[Cout]", false}},
    .attributes = {per_axis("stride", 0, kMostTaps2d, "pixels; 0: that of the kernel", {std::int64_t{0}}),
                   per_axis("padding", 0, kMostPadding2d, "pixels of the result left out on either side",
                            {std::int64_t{0}}),
                   per_axis("output_padding", 0, kMostPadding2d, "pixels more below and to the right",
                            {std::int64_t{0}}),
                   per_axis("dilation", 1, kMostPadding2d, "distance of two taps, pixels", {std::int64_t{1}}),
                   whole("groups", 1, kMostChannels, "divides the channels", {std::int64_t{1}})},
    .axes = 2,
    .infer = infer_conv_transpose2d,
    .lower = lower_conv_transpose2d,
    .weights = conv2d_weights,
};

}  // namespace voxshift::ops
