#include <voxshift/graph/product.h>

namespace voxshift::ops {

extern const OpDefinition generative_conv_transpose{
    .name = "generative_conv_transpose",
    .text =
        "Transposed sparse convolution that makes its voxels: all c * stride + offset_k of the coordinates c of x, "
        "out[i] = sum of in[o] W[k] over i = o * stride + offset_k (+ bias). Source: MinkowskiEngine.",
    .inputs = {"x"},
    .parameters = convolution_parameters(),
    .attributes = convolution_attributes(),
    .infer =
        [](Inference& node) {
          const Window window = inferred_window(node);
          node.expect(window.semantics == Semantics::kFloor,
                      "has semantics of \"bounded\", expected \"floor\": bounded ones are not defined here");
          Domain made;
          made.kind = Domain::Kind::kGenerated;
          made.parent = node.expect_voxels(0);
          made.window = window;
          const std::int64_t channels = inferred_channels(node, window);
          if (window.volume() == 1 && keeps_rows(window)) return ValueType{made.parent, channels};
          return ValueType{node.domains().find_or_add(made), channels};
        },
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_convolution(draft, lowering, window_of(*draft.node), true); },
    .weights = convolution_weights,
};

}  // namespace voxshift::ops
