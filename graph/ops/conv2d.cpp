#include <voxshift/graph/image_product.h>
#include <voxshift/graph/image_window.h>

namespace voxshift::ops {
namespace {

bool is_depthwise(const Weights& weights, std::int64_t groups) {
  return groups > 1 && groups == weights.weight.dim(0) && weights.weight.dim(1) == 1;
}

std::optional<ImageProduct> product_of(const Node& node, const Weights& weights) {
  return ImageProduct{image_window_of(node, weights.weight.dim(3)), is_depthwise(weights, node.whole("groups"))};
}

void lower_conv2d(const Draft& draft, Lowering& lowering) {
  const std::int64_t groups = draft.node->whole("groups");
  check(groups == 1 || is_depthwise(draft.weights, groups), "[plan] node \"", draft.name(),
        "\" (conv2d) expects groups of 1 or of one channel each, found ", groups);
  lower_image_product(draft, lowering);
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
    .image_product = product_of,
};

}  // namespace voxshift::ops
