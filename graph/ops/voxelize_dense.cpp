#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition voxelize_dense{
    .name = "voxelize_dense",
    .text =
        "The mean of the points in each cell of a dense grid around each cloud, zero where there are none. Source: "
        "PVCNN.",
    .inputs = {"points"},
    .attributes = {whole("resolution", 1, 256, "cells per axis"),
                   flag("normalize", true, "scale by the largest distance from the mean; false: points lie in [-1, 1]"),
                   number("eps", 0, 1e3, "added to twice that distance", {0.0})},
    .infer =
        [](Inference& node) {
          Domain cells;
          cells.kind = Domain::Kind::kDense;
          cells.parent = node.expect_points(0);
          cells.grid = {node.node().whole("resolution"), node.node().flag("normalize"), node.node().number("eps")};
          return ValueType{node.domains().find_or_add(cells), node.in(0).channels};
        },
    .lower = lower_mean,
    .narrow = true,
};

}  // namespace voxshift::ops
