#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition log_softmax{
    .name = "log_softmax",
    .text = "The logarithm of `softmax`: x - log(sum of exp(x) over the channels), row by row.",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          lowering.add(draft,
                       std::make_unique<RowFunctionStep>("log_softmax", RowFunction{RowFunction::Kind::kLogSoftmax}));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
