#include <voxshift/graph/product.h>

namespace voxshift::ops {

extern const OpDefinition conv{
    .name = "conv",
    .text =
        "Sparse convolution: out[o] = sum_k in[o * stride + offset_k] W[k] (+ bias), offsets row-major, last axis "
        "fastest. "
        "Of voxels, or of the cells of a dense grid where the stride is 1; a window of one tap takes any rows. Groups "
        "as in torch.nn.Conv3d.",
    .inputs = {"x"},
    .parameters = convolution_parameters(),
    .attributes = convolution_attributes(),
    .infer =
        [](Inference& node) {
          const Window window = inferred_window(node);
          const int in = node.in(0).domain;
          node.expect(
              window.volume() == 1 || node.domains().is_voxels(in) || node.domains()[in].kind == Domain::Kind::kDense,
              "takes voxels or the cells of a dense grid");
          const std::int64_t channels = inferred_channels(node, window);
          return ValueType{inferred_coarser(node, window), channels};
        },
    .lower = [](const Draft& draft,
                Lowering& lowering) { lower_convolution(draft, lowering, window_of(*draft.node), false); },
    .weights = convolution_weights,
    .narrow = true,
};

}  // namespace voxshift::ops
