#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition sum_pool{
    .name = "sum_pool",
    .text = "The sum over the neighbours of each center of a group, else over the rows of each cloud, batch or frame.",
    .inputs = {"x"},
    .infer = pooled_input,
    .lower = lower_sum,
    .narrow = true,
};

}  // namespace voxshift::ops
