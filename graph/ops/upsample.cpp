#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_window.h>

namespace voxshift::ops {

extern const OpDefinition upsample{
    .name = "upsample",
    .text =
        "Images of another extent, as torch.nn.functional.interpolate makes them: of height and width times "
        "scale_factor, or of `size`.",
    .inputs = {"x"},
    .attributes = {per_axis("scale_factor", 0, kMostTaps2d, "new pixels for one along each axis; 0: size is given",
                            {std::int64_t{0}}),
                   per_axis("size", 0, kMostImagePixels, "height and width, pixels; 0: scale_factor is given",
                            {std::int64_t{0}}),
                   word("mode", {"nearest", "bilinear"}, "what lies between pixels"),
                   flag("align_corners", false, "of bilinear: the centres of corner pixels stay in the corners")},
    .axes = 2,
    .infer =
        [](Inference& node) {
          const PerAxis &scale = node.node().per_axis("scale_factor"), &size = node.node().per_axis("size");
          const bool scaled = scale[0] > 0 && scale[1] > 0, sized = size[0] > 0 && size[1] > 0;
          node.expect(scaled ? size == PerAxis{0, 0} : sized && scale == PerAxis{0, 0},
                      "expects either scale_factor or size, found ", to_text(scale), " and ", to_text(size));
          node.expect(!node.node().flag("align_corners") || node.node().word("mode") == "bilinear",
                      "has align_corners, which belongs to mode bilinear");
          const Extent2d in = input_extent(node);
          const Extent2d out =
              scaled ? Extent2d{in.height * scale[0], in.width * scale[1]} : Extent2d{size[0], size[1]};
          return ValueType{inferred_images(node, out), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          Resampling resampling;
          resampling.kind =
              draft.node->word("mode") == "nearest" ? Resampling::Kind::kNearest : Resampling::Kind::kBilinear;
          resampling.align_corners = draft.node->flag("align_corners");
          lower_resampling(draft, lowering, resampling);
        },
    .narrow = true,
};

}  // namespace voxshift::ops
