#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition relu{
    .name = "relu",
    .text = "max(x, 0).",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_affine,
    .activation = [](const Node&) { return Activation{Activation::Kind::kRelu}; },
    .narrow = true,
};

}  // namespace voxshift::ops
