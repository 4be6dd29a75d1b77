#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition broadcast{
    .name = "broadcast",
    .text = "The row of its cloud for every row of `like`.",
    .inputs = {"clouds", "like"},
    .infer =
        [](Inference& node) {
          node.expect(node.in(0).domain == node.clouds(), "takes one row per cloud");
          return ValueType{node.in(1).domain, node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int link = lowering.link(lowering.domain(draft.output), lowering.domain(draft.inputs[0]), false);
          lowering.add(draft, std::make_unique<GatherStep>("broadcast", link));
        },
};

}  // namespace voxshift::ops
