#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition hard_sigmoid{
    .name = "hard_sigmoid",
    .text = "min(max(x + 3, 0), 6) / 6.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_elementwise(draft, lowering, {Elementwise::Kind::kHardSigmoid}); },
};

}  // namespace voxshift::ops
