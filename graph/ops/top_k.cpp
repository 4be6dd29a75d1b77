#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition top_k{
    .name = "top_k",
    .text =
        "Of each batch the `count` voxels of x with the highest number in `scores`, of one channel on the same voxels; "
        "of "
        "equal ones the first. They keep their order.",
    .inputs = {"x", "scores"},
    .attributes = {whole("count", 1, kMostSamples, "voxels of each batch")},
    .infer =
        [](Inference& node) {
          Domain kept = selection(node);
          kept.kind = Domain::Kind::kTop;
          kept.count = node.node().whole("count");
          return ValueType{node.domains().find_or_add(kept), node.in(0).channels};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lower_gather(draft, lowering, draft.inputs[1]); },
    .narrow = true,
};

}  // namespace voxshift::ops
