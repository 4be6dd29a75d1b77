#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition prune{
    .name = "prune",
    .text =
        "The voxels of x whose number in `scores`, of one channel on the same voxels, is above a threshold. Values "
        "that "
        "the same scores prune lie on the same voxels. Source: MinkowskiPruning.",
    .inputs = {"x", "scores"},
    .attributes = {number("threshold", -3e38, 3e38, "what a voxel's number must exceed", {0.0})},
    .infer =
        [](Inference& node) {
          Domain kept = selection(node);
          kept.kind = Domain::Kind::kAbove;
          kept.threshold = node.node().number("threshold");
          return ValueType{node.domains().find_or_add(kept), node.in(0).channels};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lower_gather(draft, lowering, draft.inputs[1]); },
    .narrow = true,
};

}  // namespace voxshift::ops
