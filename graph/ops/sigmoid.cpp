#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

class SigmoidStep final : public Step {
 public:
  std::string kind() const override { return "sigmoid"; }
  void run(const StepRun& run) const override { row_kernels(run.context.device).sigmoid(run.context, run.x, run.y); }
  bool row_by_row() const override { return true; }
};

}  // namespace

extern const OpDefinition sigmoid{
    .name = "sigmoid",
    .text = "1 / (1 + exp(-x)).",
    .inputs = {"x"},
    .infer = same_as_input,
    .lower = [](const Draft& draft, Lowering& lowering) { lowering.add(draft, std::make_unique<SigmoidStep>()); },
};

}  // namespace voxshift::ops
