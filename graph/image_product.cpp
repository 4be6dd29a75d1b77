#include <voxshift/graph/image_product.h>
#include <voxshift/graph/image_window.h>
#include <voxshift/graph/window_step.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/video/kernels.h>

#include <utility>

namespace voxshift {
namespace {

std::int64_t macs_of_pixel(const Conv2dLayer& layer, bool depthwise) {
  return depthwise ? layer.window.kernel * layer.window.kernel * layer.out_channels : layer.macs();
}

// Other products are pointwise.
ImageProduct product_of(const Draft& draft) { return draft.image_product().value_or(ImageProduct{}); }

std::shared_ptr<const PackedWeights> packed_weights(const Draft& draft, const Lowering& lowering) {
  const Device device = lowering.device();
  const VideoKernels& kernels = video_kernels(device);
  const Context context{device, nullptr, num_threads(), nullptr};
  const Weights& weights = draft.weights;
  const auto there = [&](const std::optional<Array>& array) {
    return array ? std::optional(array->to(device)) : std::nullopt;
  };
  const Array weight = weights.weight.to(device);
  const std::optional<Array> bias = there(weights.bias), multiplier = there(weights.multiplier);
  const ImageProduct product = product_of(draft);
  const std::int64_t kernel = product.window.kernel, in = weight.dim(1), out = weight.dim(0);
  if (multiplier) {
    const QuantizedWeights whole{weight.data<std::int8_t>(), floats_of(multiplier)};
    return product.depthwise ? kernels.pack_depthwise_i8(context, whole, floats_of(bias), kernel, out)
                             : kernels.pack_conv2d_i8(context, whole, floats_of(bias), kernel, in, out);
  }
  const auto* values = weight.data<float>();
  const DType dtype = lowering.input_dtype(draft);
  return product.depthwise ? kernels.pack_depthwise(context, values, floats_of(bias), kernel, out, dtype)
                           : kernels.pack_conv2d(context, values, floats_of(bias), kernel, in, out, dtype);
}

Conv2dLayer packed_layer(const Draft& draft, const Lowering& lowering) {
  const ImageProduct product = product_of(draft);
  const std::int64_t out = draft.weights.weight.dim(0);
  return {product.window, product.depthwise ? out : draft.weights.weight.dim(1), out, packed_weights(draft, lowering),
          draft.activation};
}

// The image with a border of `wanted` zeros, copied where it has none.
ImageView with_border(const Context& context, const ImageView& image, Extent2d extent, std::int64_t wanted) {
  if (image.border >= wanted) return image;
  const ChannelRun& run = image.rows.runs[0];
  const DType dtype = image.rows.dtype;
  const std::int64_t row = extent.width * run.channels, pitch = row + 2 * wanted * run.channels,
                     before = wanted * (pitch + run.channels);
  const auto bytes = static_cast<std::size_t>((extent.height + 2 * wanted) * pitch) * size_of(dtype);
  auto* memory = context.arena->allocate_bytes(bytes);
  runtime(context.device).fill(context.device, memory, 0, bytes);
  void* first = static_cast<std::byte*>(memory) + static_cast<std::size_t>(before) * size_of(dtype);
  row_kernels(context.device)
      .affine(context, {run.base, extent.width * run.row_stride, extent.height, row, dtype}, nullptr, nullptr, {}, {},
              {first, pitch, extent.height, row, dtype});
  ImageView bordered;
  bordered.rows.dtype = dtype;
  bordered.rows.add({first, run.channels, run.channels});
  bordered.border = wanted;
  bordered.pitch = pitch;
  return bordered;
}

// What both kinds of product hold.
class ImageProductBase : public WindowStep {
 public:
  ImageProductBase(const Draft& draft, const Lowering& lowering, const Window2d& reads, bool kernel_adds)
      : WindowStep(draft, lowering, reads), end_(draft, kernel_adds) {
    if (lowering.is_input(draft.inputs[0]) && !shift()) border_ = reads.padding;
  }

 protected:
  std::optional<std::int64_t> border_of_input() const { return border_; }
  const Activation& kernel_activation() const { return end_.in_kernel; }

  /// The kernel's part.
  virtual void multiply(const Context& context, const WindowRun& run) const = 0;

 private:
  void run_image(const Context& context, const WindowRun& run) const final {
    WindowRun product = run;
    const Arena::Mark mark = context.arena->mark();
    if (border().value_or(0) > 0) product.in = with_border(context, run.in, in(), *border());
    const bool adds = end_.adds_after && run.residual.base != nullptr;
    if (adds) product.residual = {};
    multiply(context, product);
    if (adds) end_.add(context, run.residual, run.pixels, run.out);
    context.arena->rewind(mark);
  }

  ProductEnd end_;
  std::optional<std::int64_t> border_;  // of a step that reads the network's input
};

class Conv2dStep final : public ImageProductBase {
 public:
  Conv2dStep(const Draft& draft, const Lowering& lowering, Conv2dLayer layer)
      : ImageProductBase(draft, lowering, layer.window, true), layer_(std::move(layer)) {
    layer_.activation = kernel_activation();
  }

  std::string kind() const override {
    if (!layer_.window.pointwise()) return "conv " + text(layer_.window);
    return in().pixels() == 1 ? "linear" : "pointwise";
  }
  std::optional<std::int64_t> border() const override { return border_of_input(); }
  std::int64_t pairs(const Context&, const PlanRows& rows) const override {
    return rows.domain(domain).count * layer_.window.kernel * layer_.window.kernel;
  }
  std::int64_t macs_of(std::int64_t pixels, std::int64_t) const override { return pixels * layer_.macs(); }
  std::size_t bytes() const override { return layer_.weights->bytes(); }

 private:
  void multiply(const Context& context, const WindowRun& run) const override {
    video_kernels(context.device).conv2d(context, layer_, in(), run.in, run.residual, run.pixels, run.out);
  }

  Conv2dLayer layer_;
};

class Depthwise2dStep final : public ImageProductBase {
 public:
  Depthwise2dStep(const Draft& draft, const Lowering& lowering, Conv2dLayer layer)
      : ImageProductBase(draft, lowering, layer.window, false), layer_(std::move(layer)) {
    layer_.activation = kernel_activation();
  }

  std::string kind() const override { return "depthwise " + text(layer_.window); }
  std::int64_t macs_of(std::int64_t pixels, std::int64_t) const override {
    return pixels * macs_of_pixel(layer_, true);
  }
  std::size_t bytes() const override { return layer_.weights->bytes(); }

 private:
  void multiply(const Context& context, const WindowRun& run) const override {
    video_kernels(context.device).depthwise(context, layer_, in(), plain_rows(run.in), run.pixels, run.out);
  }

  Conv2dLayer layer_;
};

class FusedBlockStep final : public ImageProductBase {
 public:
  FusedBlockStep(const Draft& draft, const Lowering& lowering, FusedBlock block)
      : ImageProductBase(draft, lowering, block.first.window, true), block_(std::move(block)) {
    block_.project.activation = kernel_activation();
  }

  std::string kind() const override {
    return block_.first.window.pointwise() ? "expand-depthwise-project" : "conv-depthwise-project";
  }
  const Window2d& window() const override { return block_.depthwise.window; }
  const Window2d* front() const override { return &block_.first.window; }
  std::optional<std::int64_t> border() const override { return border_of_input(); }
  std::int64_t macs_of(std::int64_t pixels, std::int64_t hidden) const override {
    return hidden * block_.first.macs() + pixels * (macs_of_pixel(block_.depthwise, true) + block_.project.macs());
  }
  std::size_t bytes() const override {
    return block_.first.weights->bytes() + block_.depthwise.weights->bytes() + block_.project.weights->bytes();
  }

 private:
  void multiply(const Context& context, const WindowRun& run) const override {
    video_kernels(context.device).fused_block(context, block_, run.in, run.residual, run.hidden, run.pixels, run.out);
  }

  FusedBlock block_;
};

}  // namespace

void lower_image_product(const Draft& draft, Lowering& lowering) {
  Conv2dLayer layer = packed_layer(draft, lowering);
  std::unique_ptr<Step> step;
  if (!draft.front.empty()) {
    const Extent2d in = lowering.domains()[lowering.domain(draft.inputs[0])].extent;
    FusedBlock block{in,
                     packed_layer(draft.front[0], lowering),
                     packed_layer(draft.front[1], lowering),
                     std::move(layer),
                     lowering.scales(draft.front[0].output),
                     lowering.scales(draft.front[1].output)};
    step = std::make_unique<FusedBlockStep>(draft, lowering, std::move(block));
  } else if (product_of(draft).depthwise) {
    step = std::make_unique<Depthwise2dStep>(draft, lowering, std::move(layer));
  } else {
    step = std::make_unique<Conv2dStep>(draft, lowering, std::move(layer));
  }
  lowering.add(draft, std::move(step), draft.residual);
}

}  // namespace voxshift
