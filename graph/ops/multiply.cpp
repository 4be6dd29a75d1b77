#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

class MultiplyStep final : public Step {
 public:
  std::string kind() const override { return "multiply"; }
  void run(const StepRun& run) const override {
    row_kernels(run.context.device).multiply(run.context, run.x, run.other, run.y);
  }
  bool row_by_row() const override { return true; }
};

}  // namespace

extern const OpDefinition multiply{
    .name = "multiply",
    .text = "a * b, number by number, of the same rows and channels.",
    .inputs = {"a", "b"},
    .infer = same_as_inputs,
    .lower = [](const Draft& draft,
                Lowering& lowering) { lowering.add(draft, std::make_unique<MultiplyStep>(), draft.inputs[1]); },
    .narrow = true,
};

}  // namespace voxshift::ops
