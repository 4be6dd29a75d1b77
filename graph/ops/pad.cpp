#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_window.h>

namespace voxshift::ops {

extern const OpDefinition pad{
    .name = "pad",
    .text = "Images with pixels of zeros around them, as torch.nn.functional.pad(x, (left, right, top, bottom)).",
    .inputs = {"x"},
    .attributes = {whole("left", 0, kMostPadding2d, "pixels", {std::int64_t{0}}),
                   whole("right", 0, kMostPadding2d, "pixels", {std::int64_t{0}}),
                   whole("top", 0, kMostPadding2d, "pixels", {std::int64_t{0}}),
                   whole("bottom", 0, kMostPadding2d, "pixels", {std::int64_t{0}})},
    .infer =
        [](Inference& node) {
          const auto side = [&](const char* name) { return node.node().whole(name); };
          const Extent2d in = input_extent(node);
          const Extent2d out{in.height + side("top") + side("bottom"), in.width + side("left") + side("right")};
          return ValueType{inferred_images(node, out), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          Resampling resampling;
          resampling.kind = Resampling::Kind::kPadded;
          resampling.before = {draft.node->whole("top"), draft.node->whole("left")};
          lower_resampling(draft, lowering, resampling);
        },
    .narrow = true,
};

}  // namespace voxshift::ops
