#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition devoxelize_dense{
    .name = "devoxelize_dense",
    .text =
        "The trilinear mixture of the cells around each of the points of `like`, which the grid was made of. Source: "
        "PVCNN.",
    .inputs = {"cells", "like"},
    .infer =
        [](Inference& node) {
          const Domain& cells = node.domains()[node.in(0).domain];
          node.expect(cells.kind == Domain::Kind::kDense && cells.parent == node.in(1).domain,
                      "takes cells of a grid and a value at the points that it was made of");
          return ValueType{node.in(1).domain, node.in(0).channels};
        },
    .lower = lower_interpolation,
    .narrow = true,
};

}  // namespace voxshift::ops
