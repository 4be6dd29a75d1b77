#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition max_pool{
    .name = "max_pool",
    .text =
        "The largest value, channel by channel, over the neighbours of each center of a group, else over the rows of "
        "each cloud, batch or frame.",
    .inputs = {"x"},
    .infer = pooled_input,
    .lower = lower_max,
    .narrow = true,
};

}  // namespace voxshift::ops
