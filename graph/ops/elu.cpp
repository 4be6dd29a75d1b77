#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition elu{
    .name = "elu",
    .text = "x where it is above 0, else alpha * (exp(x) - 1).",
    .inputs = {"x"},
    .attributes = {number("alpha", -1e3, 1e3, "of the negative half", {1.0})},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation =
        [](const Node& node) {
          return function_of({Elementwise::Kind::kElu, node.number("alpha")});
        },
    .narrow = true,
};

}  // namespace voxshift::ops
