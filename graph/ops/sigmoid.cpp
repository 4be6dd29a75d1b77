#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition sigmoid{
    .name = "sigmoid",
    .text = "1 / (1 + exp(-x)).",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_elementwise(draft, lowering, {Elementwise::Kind::kSigmoid}); },
};

}  // namespace voxshift::ops
