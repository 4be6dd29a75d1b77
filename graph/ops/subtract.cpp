#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

// b * -1 + a
class SubtractStep final : public Step {
 public:
  SubtractStep(std::int64_t channels, Device device)
      : minus_(Array::from(std::vector<float>(static_cast<std::size_t>(channels), -1.0f), {channels}).to(device)) {}
  std::string kind() const override { return "subtract"; }
  void run(const StepRun& run) const override {
    row_kernels(run.context.device).affine(run.context, run.other, minus_.data<float>(), nullptr, run.x, {}, run.y);
  }
  bool row_by_row() const override { return true; }

 private:
  const Array minus_;
};

}  // namespace

extern const OpDefinition subtract{
    .name = "subtract",
    .text = "a - b, number by number, of the same rows and channels.",
    .inputs = {"a", "b"},
    .infer = same_as_inputs,
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          auto step = std::make_unique<SubtractStep>(lowering.channels(draft.output), lowering.device());
          lowering.add(draft, std::move(step), draft.inputs[1]);
        },
    .narrow = true,
};

}  // namespace voxshift::ops
