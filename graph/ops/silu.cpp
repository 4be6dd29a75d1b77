#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition silu{
    .name = "silu",
    .text = "x / (1 + exp(-x)), also called swish.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation = [](const Node&) { return function_of({Elementwise::Kind::kSilu}); },
    .narrow = true,
};

}  // namespace voxshift::ops
