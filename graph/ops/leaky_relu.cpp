#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition leaky_relu{
    .name = "leaky_relu",
    .text = "x where it is above 0, else slope * x.",
    .inputs = {"x"},
    .attributes = {number("slope", -1e3, 1e3, "of the negative half", {0.01})},
    .infer = same_as_input,
    .lower = lower_affine,
    .activation =
        [](const Node& node) {
          return Activation{Activation::Kind::kLeakyRelu, node.number("slope")};
        },
    .narrow = true,
};

}  // namespace voxshift::ops
