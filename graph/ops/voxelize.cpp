#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition voxelize{
    .name = "voxelize",
    .text = "The mean of the rows of x in each of the coarser voxels of `like`.",
    .inputs = {"x", "like"},
    .infer =
        [](Inference& node) {
          const int fine = node.expect_voxels(0), coarse = node.expect_voxels(1);
          node.expect_coarser(coarse, fine);
          return ValueType{coarse, node.in(0).channels};
        },
    .lower = lower_mean,
    .narrow = true,
};

}  // namespace voxshift::ops
