#include <voxshift/graph/image_window.h>

namespace voxshift::ops {

extern const OpDefinition max_pool2d{
    .name = "max_pool2d",
    .text = "The largest value over the window's pixels inside the image, as torch.nn.functional.max_pool2d.",
    .inputs = {"x"},
    .attributes = {whole("kernel_size", 1, kMostKernel2d, "edge of the window, pixels"),
                   whole("stride", 1, kMostStride2d, "pixels", {std::int64_t{1}}),
                   whole("padding", 0, kMostKernel2d / 2, "on every side, at most half the kernel", {std::int64_t{0}})},
    .infer =
        [](Inference& node) {
          const Window2d window = image_window_of(node.node(), node.node().whole("kernel_size"));
          return ValueType{inferred_images(node, window), node.in(0).channels};
        },
};

}  // namespace voxshift::ops
