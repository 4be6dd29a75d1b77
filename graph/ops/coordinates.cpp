#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition coordinates{
    .name = "coordinates",
    .text = "x, y and z of the points.",
    .inputs = {"points"},
    .infer =
        [](Inference& node) {
          return ValueType{node.expect_points(0), 3};
        },
    .lower = lower_coordinates,
};

}  // namespace voxshift::ops
