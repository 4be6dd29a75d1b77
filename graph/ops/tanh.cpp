#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition tanh{
    .name = "tanh",
    .text = "The hyperbolic tangent of x.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation = [](const Node&) { return function_of({Elementwise::Kind::kTanh}); },
    .narrow = true,
};

}  // namespace voxshift::ops
