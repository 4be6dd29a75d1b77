#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition l2_normalize{
    .name = "l2_normalize",
    .text = "x / max(|x|, eps), row by row, as torch.nn.functional.normalize.",
    .inputs = {"x"},
    .attributes = {number("eps", 0, 1e3, "the least length that is divided by", {1e-12})},
    .infer = same_as_input,
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const RowFunction f{RowFunction::Kind::kL2Norm, draft.node->number("eps")};
          lowering.add(draft, std::make_unique<RowFunctionStep>("l2_normalize", f));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
