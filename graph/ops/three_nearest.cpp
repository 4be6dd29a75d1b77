#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition three_nearest{
    .name = "three_nearest",
    .text =
        "The mixture of the three nearest centers, by 1 / d^2, at each of the points of `like`. Source: PointNet++.",
    .inputs = {"centers", "like"},
    .infer =
        [](Inference& node) {
          node.expect_points(0);
          return ValueType{node.expect_points(1), node.in(0).channels};
        },
    .lower = lower_interpolation,
    .narrow = true,
};

}  // namespace voxshift::ops
