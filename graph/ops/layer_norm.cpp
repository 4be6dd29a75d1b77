#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition layer_norm{
    .name = "layer_norm",
    .text = "(x - mean) / sqrt(variance + eps) * weight + bias, mean and variance of each row's channels.",
    .inputs = {"x"},
    .parameters = {{"weight", "[C]"}, {"bias", "[C]"}},
    .attributes = {number("eps", 0, 1e3, "added to the variance", {1e-5})},
    .infer =
        [](Inference& node) {
          node.expect_parameter("weight", {{node.in(0).channels}});
          node.expect_parameter("bias", {{node.in(0).channels}});
          return node.in(0);
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const RowFunction f{RowFunction::Kind::kLayerNorm, draft.node->number("eps")};
          const ScaleShift norm{lowering.parameter(draft, "weight").to(lowering.device()),
                                lowering.parameter(draft, "bias").to(lowering.device())};
          lowering.add(draft, std::make_unique<RowFunctionStep>("layer_norm", f, norm));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
