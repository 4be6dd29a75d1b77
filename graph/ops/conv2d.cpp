#include <voxshift/graph/image_window.h>

namespace voxshift::ops {

extern const OpDefinition conv2d{
    .name = "conv2d",
    .text = "2-D convolution of images, as torch.nn.functional.conv2d.",
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
    .weights =
        [](const Node& node, const Parameters& parameters) {
          Weights weights{parameters.at(node.parameters.at("weight")), {}};
          if (const auto bias = node.parameters.find("bias"); bias != node.parameters.end())
            weights.bias = parameters.at(bias->second);
          return weights;
        },
};

}  // namespace voxshift::ops
