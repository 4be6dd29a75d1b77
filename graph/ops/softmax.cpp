#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition softmax{
    .name = "softmax",
    .text = "exp(x) divided by its sum over the channels, row by row.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          lowering.add(draft, std::make_unique<RowFunctionStep>("softmax", RowFunction{RowFunction::Kind::kSoftmax}));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
