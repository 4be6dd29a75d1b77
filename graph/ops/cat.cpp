#include <voxshift/graph/op.h>

namespace voxshift::ops {

extern const OpDefinition cat{
    .name = "cat",
    .text = "The channels of all inputs, one after the other; their rows are the same.",
    .inputs = {"x"},
    .more_inputs = true,
    .infer =
        [](Inference& node) {
          node.expect_same_rows();
          ValueType all = node.in(0);
          for (std::size_t i = 1; i < node.inputs(); ++i) all.channels += node.in(i).channels;
          return all;
        },
    .layout = OpDefinition::Layout::kJoined,
    .narrow = true,
};

}  // namespace voxshift::ops
