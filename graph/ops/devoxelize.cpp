#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition devoxelize{
    .name = "devoxelize",
    .text =
        "The trilinear mixture, renormalised, of the voxels x around each of the finer coordinates of `like`. Source: "
        "torchsparse.",
    .inputs = {"x", "like"},
    .infer =
        [](Inference& node) {
          const int coarse = node.expect_voxels(0), fine = node.expect_voxels(1);
          node.expect_coarser(coarse, fine);
          return ValueType{fine, node.in(0).channels};
        },
    .lower = lower_interpolation,
    .narrow = true,
};

}  // namespace voxshift::ops
