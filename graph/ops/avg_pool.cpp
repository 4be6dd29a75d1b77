#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition avg_pool{
    .name = "avg_pool",
    .text = "The mean over the neighbours of each center of a group, else over the rows of each cloud, batch or frame.",
    .inputs = {"x"},
    .infer = pooled_input,
    .lower = lower_mean,
};

}  // namespace voxshift::ops
