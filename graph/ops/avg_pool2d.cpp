#include <voxshift/graph/image_map.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>

#include <optional>

namespace voxshift::ops {
namespace {

// The mean over a window's pixels inside the image. Where zeros outside count, the sum of x / taps: it cannot overflow
// in f16.
class AvgPool2dStep final : public Step {
 public:
  AvgPool2dStep(int map, std::optional<Array> share) : map_(map), share_(std::move(share)) {}
  std::string kind() const override { return "avg_pool2d"; }
  void run(const StepRun& run) const override {
    const Arena::Mark mark = run.context.arena->mark();
    ConstRowView x = run.x;
    if (share_) {
      const DType dtype = x.dtype == DType::kI8 ? DType::kF32 : x.dtype;
      const auto bytes = static_cast<std::size_t>(x.count * x.channels) * size_of(dtype);
      const RowView shares{run.context.arena->allocate_bytes(bytes), x.channels, x.count, x.channels, dtype};
      row_kernels(run.context.device).affine(run.context, x, floats_of(share_), nullptr, {}, {}, shares);
      x = shares;
    }
    sparse_conv_kernels(run.context.device)
        .pool(run.context, x, run.rows.map(map_).forward, share_ ? Pooling::kSum : Pooling::kAverage, run.y);
    run.context.arena->rewind(mark);
  }

 private:
  int map_;
  std::optional<Array> share_;  // 1 / taps of every channel
};

Window averaging_window(const Node& node) {
  const PerAxis& size = node.per_axis("kernel_size");
  return pixel_window(node, {size[0], size[1]});
}

void lower_avg_pool2d(const Draft& draft, Lowering& lowering) {
  const Window window = averaging_window(*draft.node);
  std::optional<Array> share;
  if (draft.node->flag("count_include_pad") && (window.pad[0] > 0 || window.pad[1] > 0)) {
    const std::vector<float> values(static_cast<std::size_t>(lowering.channels(draft.inputs[0])),
                                    1.0f / static_cast<float>(window.volume()));
    share = Array::from(values, {static_cast<std::int64_t>(values.size())}).to(lowering.device());
  }
  const int map = pixel_map(lowering, lowering.domain(draft.inputs[0]), lowering.domain(draft.output), window);
  lowering.add(draft, std::make_unique<AvgPool2dStep>(map, std::move(share)));
}

}  // namespace

extern const OpDefinition avg_pool2d{
    .name = "avg_pool2d",
    .text = "The mean over the window's pixels, as torch.nn.functional.avg_pool2d.",
    .inputs = {"x"},
    .attributes = {per_axis("kernel_size", 1, kMostTaps2d, "height and width of the window, pixels"),
                   per_axis("stride", 0, kMostTaps2d, "pixels; 0: that of the window", {std::int64_t{0}}),
                   per_axis("padding", 0, kMostTaps2d / 2, "on either side, at most half the window",
                            {std::int64_t{0}}),
                   flag("count_include_pad", true, "whether pixels outside the image count as zeros")},
    .axes = 2,
    .infer =
        [](Inference& node) {
          const Window window = averaging_window(node.node());
          for (std::size_t axis = 0; axis < 2; ++axis)
            node.expect(window.pad[axis] <= window.size[axis] / 2, "expects a padding of 0 to ", window.size[axis] / 2,
                        ", half its window, found ", window.pad[axis]);
          const int images = inferred_window_images(node, window);
          expect_map_fits(node, window, node.domains()[images].extent);
          return ValueType{images, node.in(0).channels};
        },
    .lower = lower_avg_pool2d,
    .narrow = true,
};

}  // namespace voxshift::ops
