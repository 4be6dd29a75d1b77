#include <voxshift/graph/steps.h>

namespace voxshift::ops {

extern const OpDefinition from_dense{
    .name = "from_dense",
    .text =
        "For every voxel of `like` the pixel (y, x) of its batch, where y and x are its coordinates on the axes that "
        "the "
        "images' bird_eye_view left; 0 for voxels outside of the images. Both count in their own steps: an image of "
        "half "
        "the height takes voxels of twice the stride.",
    .inputs = {"images", "like"},
    .infer =
        [](Inference& node) {
          const int images = node.expect_images(0);
          node.expect(node.domains().view_of(images) >= 0, "takes images of a bird_eye_view, \"", node.node().inputs[0],
                      "\" has none");
          return ValueType{node.expect_voxels(1), node.in(0).channels};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lower_gather(draft, lowering); },
    .narrow = true,
};

}  // namespace voxshift::ops
