#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition add{
    .name = "add",
    .text = "a + b, of the same rows and channels.",
    .inputs = {"a", "b"},
    .infer = same_as_inputs,
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          lowering.add(draft, std::make_unique<AffineStep>(draft.activation), draft.inputs[1]);
        },
    .is_sum = true,
    .narrow = true,
};

}  // namespace voxshift::ops
