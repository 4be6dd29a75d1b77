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
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          lower_elementwise(draft, lowering, {Elementwise::Kind::kPower, draft.node->number("exponent")});
        },
};

}  // namespace voxshift::ops
