#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition hard_sigmoid{
    .name = "hard_sigmoid",
    .text = "min(max(x + 3, 0), 6) / 6.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation = [](const Node&) { return function_of({Elementwise::Kind::kHardSigmoid}); },
    .narrow = true,
};

}  // namespace voxshift::ops
