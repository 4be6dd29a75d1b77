#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition silu{
    .name = "silu",
    .text = "x / (1 + exp(-x)), also called swish.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_elementwise(draft, lowering, {Elementwise::Kind::kSilu}); },
};

}  // namespace voxshift::ops
