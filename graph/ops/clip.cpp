#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition clip{
    .name = "clip",
    .text = "min(max(x, lowest), highest).",
    .inputs = {"x"},
    .attributes = {number("lowest", -3e38, 3e38, "the lower limit", {-3e38}),
                   number("highest", -3e38, 3e38, "the upper limit, not below the lower one", {3e38})},
    .infer =
        [](Inference& node) {
          node.expect(node.node().number("lowest") <= node.node().number("highest"),
                      "expects highest to be at least lowest, found ", node.node().number("highest"), " and ",
                      node.node().number("lowest"));
          return node.in(0);
        },
    .lower = lower_elementwise,
    .activation =
        [](const Node& node) {
          return function_of({Elementwise::Kind::kClip, node.number("lowest"), node.number("highest")});
        },
    .narrow = true,
};

}  // namespace voxshift::ops
