#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition sigmoid{
    .name = "sigmoid",
    .text = "1 / (1 + exp(-x)).",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation = [](const Node&) { return function_of({Elementwise::Kind::kSigmoid}); },
    .narrow = true,
};

}  // namespace voxshift::ops
