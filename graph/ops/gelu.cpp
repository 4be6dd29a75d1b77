#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition gelu{
    .name = "gelu",
    .text = "x times the normal distribution's share below x, as torch.nn.functional.gelu.",
    .inputs = {"x"},
    .attributes = {word("approximate", {"none", "tanh"}, "tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))")},
    .infer = same_as_input,
    .lower = lower_elementwise,
    .activation =
        [](const Node& node) {
          return function_of(
              {node.word("approximate") == "none" ? Elementwise::Kind::kGelu : Elementwise::Kind::kGeluTanh});
        },
    .narrow = true,
};

}  // namespace voxshift::ops
