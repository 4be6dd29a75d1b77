#include <voxshift/graph/elementwise.h>

namespace voxshift::ops {

extern const OpDefinition prelu{
    .name = "prelu",
    .text = "x where it is above 0, else weight * x, channel by channel.",
    .inputs = {"x"},
    .parameters = {{"weight", "[C], or [1] for all channels"}},
    .infer =
        [](Inference& node) {
          node.expect_parameter("weight", {{node.in(0).channels}, {1}});
          return node.in(0);
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          Array slopes({lowering.channels(draft.output)}, DType::kF32);
          const Array weight = lowering.parameter(draft, "weight");
          for (std::int64_t c = 0; c < slopes.count(); ++c)
            slopes.data<float>()[c] = weight.data<float>()[weight.count() > 1 ? c : 0];
          const ScaleShift norm{slopes.to(lowering.device()), {}};
          lowering.add(draft, std::make_unique<RowFunctionStep>("prelu", RowFunction{RowFunction::Kind::kPrelu}, norm));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
