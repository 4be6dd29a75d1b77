#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition hard_swish{
    .name = "hard_swish",
    .text = "x * min(max(x + 3, 0), 6) / 6.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_elementwise(draft, lowering, {Elementwise::Kind::kHardSwish}); },
};

}  // namespace voxshift::ops
