#include <voxshift/graph/image_window.h>
#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/video/kernels.h>

namespace voxshift::ops {
namespace {

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
  auto packed = row_kernels(lowering.device()).pack(context, there.data<float>(), in, taps * out, lowering.dtype());
  const Extent2d extent = lowering.domains()[lowering.domain(draft.inputs[0])].extent;
  lowering.add(draft, std::make_unique<ConvTranspose2dStep>(extent, kernel, draft, std::move(packed), std::move(bias)),
               draft.residual);
}

}  // namespace

extern const OpDefinition conv_transpose2d{
    .name = "conv_transpose2d",
    .text = "Transposed 2-D convolution of images whose stride is its kernel, as torch.nn.functional.conv_transpose2d.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cin, Cout, k, k], k being the stride"}, {"bias", "[Cout]", false}},
    .infer =
        [](Inference& node) {
          const Shape& shape = node.shape("weight");
          const std::int64_t in = node.in(0).channels, kernel = shape.back();
          const std::int64_t out = shape.size() == 4 ? shape[1] : 0;
          node.expect(out > 0, "has no output channels");
          node.expect(kernel >= 1 && kernel <= kMostStride2d, "expects a kernel of 1 to ", kMostStride2d, ", found ",
                      kernel);
          node.expect_parameter("weight", {{in, out, kernel, kernel}});
          node.expect_parameter("bias", {{out}});
          node.expect(out * kernel * kernel <= kMostChannels, "gives ", kernel * kernel, " pixels of ", out,
                      " channels for each, at most ", kMostChannels, " channels in all");
          const Extent2d extent = node.domains()[node.expect_images(0)].extent;
          node.expect(extent.pixels() > 0, "has no place in a network on frames");
          return ValueType{inferred_images(node, Extent2d{extent.height * kernel, extent.width * kernel}), out};
        },
    .lower = lower_conv_transpose2d,
    // [Cout, Cin, k, k], as conv2d's: what batch norm is folded into
    .weights =
        [](const Node& node, const Parameters& parameters) {
          const Weights given = image_weights(node, parameters);
          const std::int64_t in = given.weight.dim(0), out = given.weight.dim(1),
                             taps = given.weight.dim(2) * given.weight.dim(3);
          Weights weights{Array({out, in, given.weight.dim(2), given.weight.dim(3)}, DType::kF32), given.bias};
          for (std::int64_t o = 0; o < out; ++o)
            for (std::int64_t i = 0; i < in; ++i)
              std::copy_n(given.weight.data<float>() + (i * out + o) * taps, taps,
                          weights.weight.data<float>() + (o * in + i) * taps);
          return weights;
        },
};

}  // namespace voxshift::ops
