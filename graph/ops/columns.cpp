#include <voxshift/graph/op.h>

namespace voxshift::ops {

extern const OpDefinition columns{
    .name = "columns",
    .text = "Channels [first, first + count) of x.",
    .inputs = {"x"},
    .attributes = {whole("first", 0, kMostChannels, "the first channel"), whole("count", 1, kMostChannels, "how many")},
    .infer =
        [](Inference& node) {
          const std::int64_t first = node.node().whole("first"), count = node.node().whole("count");
          node.expect(first + count <= node.in(0).channels, "takes columns ", first, " to ", first + count, " of ",
                      node.in(0).channels);
          return ValueType{node.in(0).domain, count};
        },
    .layout = OpDefinition::Layout::kColumns,
    .narrow = true,
};

}  // namespace voxshift::ops
