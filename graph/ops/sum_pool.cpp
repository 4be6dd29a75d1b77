#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition sum_pool{
    .name = "sum_pool",
    .text = "The sum over the neighbours of each center of a group, else over the rows of each cloud, batch or frame.",
    .inputs = {"x"},
    .infer =
        [](Inference& node) {
          return ValueType{node.pooled(), node.in(0).channels};
        },
    .lower = lower_sum,
};

}  // namespace voxshift::ops
