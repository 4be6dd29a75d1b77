#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

class ScaleStep final : public Step {
 public:
  std::string kind() const override { return "scale"; }
  void run(const StepRun& run) const override {
    const RowKernels& kernels = row_kernels(run.context.device);
    const std::vector<std::int64_t>& splits = run.rows.domain(domain).splits;
    ConstRowView factors = run.other;
    Arena& scratch = *run.context.arena;
    const Arena::Mark mark = scratch.mark();
    if (factors.dtype != DType::kF32) {
      const RowView wide{scratch.allocate<float>(factors.count * factors.channels), factors.channels, factors.count,
                         factors.channels, DType::kF32};
      kernels.affine(run.context, factors, nullptr, nullptr, {}, {}, wide);
      factors = wide;
    }
    for (std::size_t b = 0; b + 1 < splits.size(); ++b) {
      const std::int64_t first = splits[b], count = splits[b + 1] - splits[b];
      const auto* scale = static_cast<const float*>(factors.rows(static_cast<std::int64_t>(b), 1).base);
      kernels.affine(run.context, run.x.rows(first, count), scale, nullptr, {}, {}, run.y.rows(first, count));
    }
    scratch.rewind(mark);
  }
};

}  // namespace

extern const OpDefinition scale{
    .name = "scale",
    .text = "x times the row of its cloud, channel by channel.",
    .inputs = {"x", "clouds"},
    .infer =
        [](Inference& node) {
          node.expect(node.in(1).domain == node.clouds(), "takes factors of one row per cloud");
          node.expect(!node.domains().is_voxels(node.in(0).domain),
                      "takes rows of points: multiply voxels by what broadcast gives");
          node.expect_same_channels();
          return node.in(0);
        },
    .lower = [](const Draft& draft,
                Lowering& lowering) { lowering.add(draft, std::make_unique<ScaleStep>(), draft.inputs[1]); },
    .narrow = true,
};

}  // namespace voxshift::ops
