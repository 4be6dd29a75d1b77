#include <voxshift/graph/steps.h>
#include <voxshift/video/kernels.h>

namespace voxshift::ops {
namespace {

class ImageMeanStep final : public Step {
 public:
  explicit ImageMeanStep(std::int64_t pixels) : pixels_(pixels) {}
  std::string kind() const override { return "mean"; }
  void run(const StepRun& run) const override {
    for (std::int64_t i = 0; i < run.y.count; ++i)
      video_kernels(run.context.device).mean_rows(run.context, run.x.rows(i * pixels_, pixels_), run.y.rows(i, 1));
  }

 private:
  std::int64_t pixels_;
};

void lower_avg_pool(const Draft& draft, Lowering& lowering) {
  const int in = lowering.domain(draft.inputs[0]);
  if (!lowering.domains().is_images(in)) return lower_mean(draft, lowering);
  lowering.add(draft, std::make_unique<ImageMeanStep>(lowering.domains().rows_of_image(in)));
}

}  // namespace

extern const OpDefinition avg_pool{
    .name = "avg_pool",
    .text = "The mean over the neighbours of each center of a group, else over the rows of each cloud, batch or frame.",
    .inputs = {"x"},
    .infer = pooled_input,
    .lower = lower_avg_pool,
    .narrow = true,
};

}  // namespace voxshift::ops
