#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition avg_pool{
    .name = "avg_pool",
    .text = "The mean over the neighbours of each center of a group, else over the rows of each cloud, batch or frame.",
    .inputs = {"x"},
    .infer =
        [](Inference& node) {
          return ValueType{node.pooled(), node.in(0).channels};
        },
    .lower = lower_mean,
};

}  // namespace voxshift::ops
