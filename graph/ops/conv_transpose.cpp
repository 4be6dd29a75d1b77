#include <voxshift/graph/product.h>

namespace voxshift::ops {

extern const OpDefinition conv_transpose{
    .name = "conv_transpose",
    .text =
        "Transposed sparse convolution, back to the voxels that a convolution with the same stride came from: "
        "out[i] = sum of in[o] W[k] over i = o * stride + offset_k (+ bias).",
    .inputs = {"x"},
    .parameters = convolution_parameters(),
    .attributes = convolution_attributes(),
    .infer =
        [](Inference& node) {
          const Window window = inferred_window(node);
          const int in = node.in(0).domain;
          const Domain& from = node.domains()[in];
          node.expect(window.volume() == 1 || node.domains().is_voxels(in) || from.kind == Domain::Kind::kDense,
                      "takes voxels or the cells of a dense grid");
          const std::int64_t out = inferred_channels(node, window);
          if (keeps_rows(window)) return ValueType{in, out};
          node.expect(from.kind == Domain::Kind::kCoarser && from.window.same_outputs(window),
                      "goes back, but no convolution of this stride made its input's coordinates");
          return ValueType{from.parent, out};
        },
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_convolution(draft, lowering, window_of(*draft.node), true); },
    .weights = convolution_weights,
    .narrow = true,
};

}  // namespace voxshift::ops
