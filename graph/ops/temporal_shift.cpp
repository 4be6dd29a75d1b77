#include <voxshift/graph/op.h>

namespace voxshift::ops {

extern const OpDefinition temporal_shift{
    .name = "temporal_shift",
    .text =
        "One in shift_div channels of every frame is that of the frame before; with `bidirectional` another one is "
        "that of the frame after. Source: TSM.",
    .inputs = {"x"},
    .attributes = {whole("shift_div", 1, kMostChannels, "at least 2 where bidirectional"),
                   flag("bidirectional", false, "looks at the next frame, too: for whole clips")},
    .infer =
        [](Inference& node) {
          node.expect_images(0);
          const std::int64_t div = node.node().whole("shift_div"), least = node.node().flag("bidirectional") ? 2 : 1;
          node.expect(div >= least, "expects a shift_div of at least ", least, ", found ", div);
          node.expect(node.in(0).channels / div >= 1, "expects a shift_div of at most its ", node.in(0).channels,
                      " channels, found ", div);
          return node.in(0);
        },
};

}  // namespace voxshift::ops
