#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition hard_swish{
    .name = "hard_swish",
    .text = "x * min(max(x + 3, 0), 6) / 6.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation = [](const Node&) { return function_of({Elementwise::Kind::kHardSwish}); },
    .narrow = true,
};

}  // namespace voxshift::ops
