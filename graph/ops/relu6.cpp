#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition relu6{
    .name = "relu6",
    .text = "min(max(x, 0), 6).",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = lower_affine,
    .activation = [](const Node&) { return Activation{Activation::Kind::kRelu6}; },
    .narrow = true,
};

}  // namespace voxshift::ops
