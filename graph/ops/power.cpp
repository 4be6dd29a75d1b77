#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition power{
    .name = "power",
    .text =
        "x to the power of the exponent; of negative numbers NaN unless it is whole. With clip and avg_pool it is GeM "
        "pooling.",
    .inputs = {"x"},
    .attributes = {number("exponent", -1e3, 1e3, "any number")},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation =
        [](const Node& node) {
          return function_of({Elementwise::Kind::kPower, node.number("exponent")});
        },
    .narrow = true,
};

}  // namespace voxshift::ops
