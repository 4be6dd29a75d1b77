#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition tanh{
    .name = "tanh",
    .text = "The hyperbolic tangent of x.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_elementwise(draft, lowering, {Elementwise::Kind::kTanh}); },
};

}  // namespace voxshift::ops
