#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition furthest_point_sample{
    .name = "furthest_point_sample",
    .text = "x, y and z of `count` points of each cloud, each the furthest from those before. Source: PointNet++.",
    .inputs = {"points"},
    .attributes = {whole("count", 1, kMostSamples, "points of each cloud")},
    .infer =
        [](Inference& node) {
          Domain samples;
          samples.kind = Domain::Kind::kSamples;
          samples.parent = node.expect_points(0);
          samples.count = node.node().whole("count");
          return ValueType{node.domains().find_or_add(samples), 3};
        },
    .lower = lower_coordinates,
};

}  // namespace voxshift::ops
