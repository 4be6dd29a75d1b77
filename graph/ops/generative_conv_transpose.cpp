#include <voxshift/graph/product.h>

namespace voxshift::ops {
namespace {

constexpr std::int64_t kMostPadding = 1 << 20;

}  // namespace

extern const OpDefinition generative_conv_transpose{
    .name = "generative_conv_transpose",
    .text =
        "Transposed sparse convolution that makes its voxels: all c * stride + offset_k of the coordinates c of x, "
        "out[i] = sum of in[o] W[k] over i = o * stride + offset_k (+ bias). With bounded semantics those within "
        "(extent - 1) stride - 2 padding + dilation (kernel_size - 1) + 1 + output_padding cells along each axis. "
        "Source: MinkowskiEngine, and spconv's SparseConvTranspose.",
    .inputs = {"x"},
    .parameters = convolution_parameters(),
    .attributes =
        with(convolution_attributes(), per_axis("output_padding", -kMostPadding, kMostPadding,
                                                "cells more at the end, with bounded semantics", {std::int64_t{0}})),
    .infer =
        [](Inference& node) {
          const Window window = inferred_window(node);
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
    .narrow = true,
};

}  // namespace voxshift::ops
