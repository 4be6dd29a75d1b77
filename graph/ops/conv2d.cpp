#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_product.h>
#include <voxshift/graph/image_window.h>

namespace voxshift::ops {
namespace {

bool is_depthwise(const Shape& weight, std::int64_t groups) {
  return groups > 1 && groups == weight[0] && weight[1] == 1;
}

Window window_of_weight(const Node& node, const Shape& weight) { return pixel_window(node, {weight[2], weight[3]}); }

// What the kernels of video take; the rest runs on a map of the pixels.
bool has_kernel(const Window& window, const Shape& weight, std::int64_t groups) {
  const auto same = [](const Window::Extents& e, std::int64_t most) { return e[0] == e[1] && e[0] <= most; };
  return same(window.size, kMostKernel2d) && same(window.stride, kMostStride2d) &&
         same(window.pad, window.size[0] / 2) && same(window.dilation, 1) &&
         (groups == 1 || is_depthwise(weight, groups));
}

std::optional<ImageProduct> product_of(const Node& node, const Weights& weights) {
  const Shape& shape = weights.weight.shape();
  const std::int64_t groups = node.whole("groups");
  if (!has_kernel(window_of_weight(node, shape), shape, groups)) return std::nullopt;
  return ImageProduct{image_window_of(node, shape[3]), is_depthwise(shape, groups)};
}

void lower_conv2d(const Draft& draft, Lowering& lowering) {
  if (draft.image_product()) return lower_image_product(draft, lowering);
  lower_image_convolution(draft, lowering, window_of_weight(*draft.node, draft.weights.weight.shape()), false);
}

ValueType infer_conv2d(Inference& node) {
  const Shape& shape = node.shape("weight");
  const std::int64_t in = node.in(0).channels, out = shape.front(), groups = node.node().whole("groups");
  node.expect(out > 0, "has no output channels");
  node.expect(in % groups == 0 && out % groups == 0, "expects groups that divide its ", in, " input and ", out,
              " output channels, found ", groups);
  const Window window = pixel_window(node.node(), expected_taps(node, out, in / groups));
  node.expect_parameter("bias", {{out}});
  const int images = inferred_window_images(node, window);
  if (!has_kernel(window, shape, groups)) expect_map_fits(node, window, node.domains()[images].extent);
  return {images, out};
}

}  // namespace

extern const OpDefinition conv2d{
    .name = "conv2d",
    .text =
        "2-D convolution of images, as torch.nn.functional.conv2d. Fastest, and in streams pixel by pixel: square "
        "windows of up to 11 x 11 pixels with strides of up to 8, without dilation and padded by at most half of them, "
        "and groups of 1 or of one channel each.",
    .inputs = {"x"},
    .parameters = {{"weight", "[Cout, Cin / groups, height, width]"}, {"bias", "[Cout]", false}, weight_scale()},
    .attributes = {per_axis("stride", 1, kMostTaps2d, "pixels", {std::int64_t{1}}),
                   per_axis("padding", 0, kMostPadding2d, "zeros on either side", {std::int64_t{0}}),
                   per_axis("dilation", 1, kMostPadding2d, "distance of two taps, pixels", {std::int64_t{1}}),
                   whole("groups", 1, kMostChannels, "divides the channels", {std::int64_t{1}})},
    .axes = 2,
    .infer = infer_conv2d,
    .lower = lower_conv2d,
    .weights = image_weights,
    .image_product = product_of,
    .narrow = true,
};

}  // namespace voxshift::ops
