#include <voxshift/graph/image_window.h>
#include <voxshift/graph/window_step.h>
#include <voxshift/video/kernels.h>

namespace voxshift::ops {
namespace {

class MaxPool2dStep final : public WindowStep {
 public:
  using WindowStep::WindowStep;
  std::string kind() const override { return "max_pool " + text(window()); }
  std::int64_t macs_of(std::int64_t, std::int64_t) const override { return 0; }
  void run_image(const Context& context, const WindowRun& run) const override {
    video_kernels(context.device).max_pool(context, window(), in(), plain_rows(run.in), run.pixels, run.out);
  }
};

Window2d pooling_window(const Node& node) { return image_window_of(node, node.whole("kernel_size")); }

}  // namespace

extern const OpDefinition max_pool2d{
    .name = "max_pool2d",
    .text = "The largest value over the window's pixels inside the image, as torch.nn.functional.max_pool2d.",
    .inputs = {"x"},
    .attributes = {whole("kernel_size", 1, kMostKernel2d, "edge of the window, pixels"),
                   whole("stride", 1, kMostStride2d, "pixels", {std::int64_t{1}}),
                   whole("padding", 0, kMostKernel2d / 2, "on every side, at most half the kernel", {std::int64_t{0}})},
    .infer =
        [](Inference& node) {
          return ValueType{inferred_images(node, pooling_window(node.node())), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          lowering.add(draft, std::make_unique<MaxPool2dStep>(draft, lowering, pooling_window(*draft.node)));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
