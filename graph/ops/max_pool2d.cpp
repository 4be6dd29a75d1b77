#include <voxshift/graph/image_window.h>
#include <voxshift/graph/lowering.h>
#include <voxshift/video/kernels.h>

namespace voxshift::ops {
namespace {

class MaxPool2dStep final : public ImageStep {
 public:
  MaxPool2dStep(Extent2d in, Extent2d out, const Window2d& window) : ImageStep(in, out), window_(window) {}
  std::string kind() const override { return "max_pool2d"; }

 protected:
  void run_image(const Context& context, const ConstRowView& x, const ConstRowView&, const RowView& y) const override {
    video_kernels(context.device).max_pool(context, window_, in(), x, {nullptr, y.count}, y);
  }

 private:
  Window2d window_;
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
          const Extent2d in = lowering.domains()[lowering.domain(draft.inputs[0])].extent,
                         out = lowering.domains()[lowering.domain(draft.output)].extent;
          lowering.add(draft, std::make_unique<MaxPool2dStep>(in, out, pooling_window(*draft.node)));
        },
};

}  // namespace voxshift::ops
