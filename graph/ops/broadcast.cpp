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
    .lower = [](const Draft& draft, Lowering& lowering) { lower_gather(draft, lowering); },
};

}  // namespace voxshift::ops
