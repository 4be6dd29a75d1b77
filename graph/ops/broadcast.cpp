#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition broadcast{
    .name = "broadcast",
    .text =
        "The row of its cloud for every row of `like`, or that of its voxel for points that voxelize_points made the "
        "voxels x of; zeros for points in none.",
    .inputs = {"x", "like"},
    .infer =
        [](Inference& node) {
          const int coarse = node.in(0).domain;
          node.expect(coarse == node.clouds() || node.domains().are_of_points(coarse, node.in(1).domain),
                      "takes one row per cloud, or voxels that voxelize_points made of the points of \"",
                      node.node().inputs[1], "\"");
          return ValueType{node.in(1).domain, node.in(0).channels};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lower_gather(draft, lowering); },
    .narrow = true,
};

}  // namespace voxshift::ops
