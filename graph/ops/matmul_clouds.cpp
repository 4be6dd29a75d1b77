#include <voxshift/graph/lowering.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

class MatmulCloudsStep final : public Step {
 public:
  explicit MatmulCloudsStep(int link) : link_(link) {}
  std::string kind() const override { return "matmul_clouds"; }
  void run(const StepRun& run) const override {
    row_kernels(run.context.device)
        .matmul_picked(run.context, run.x, run.other, run.rows.link(link_).parents + run.first, run.y);
  }
  bool row_by_row() const override { return true; }

 private:
  int link_;
};

}  // namespace

extern const OpDefinition matmul_clouds{
    .name = "matmul_clouds",
    .text =
        "Every row of x, C channels, times the matrix [C, D] of its cloud, whose rows lie one after the other in the "
        "C * D channels of `matrices`; torch.bmm. Source: PointNet's T-Net.",
    .inputs = {"x", "matrices"},
    .infer =
        [](Inference& node) {
          const std::int64_t in = node.in(0).channels, numbers = node.in(1).channels;
          node.expect(node.in(1).domain == node.clouds(), "takes matrices of one row per cloud");
          node.expect(numbers % in == 0, "takes matrices of ", in, " rows for the channels of \"",
                      node.node().inputs[0], "\", \"", node.node().inputs[1], "\" has ", numbers, " channels");
          return ValueType{node.in(0).domain, numbers / in};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int link = lowering.link(lowering.domain(draft.inputs[0]), lowering.domain(draft.inputs[1]), false);
          lowering.add(draft, std::make_unique<MatmulCloudsStep>(link), draft.inputs[1]);
        },
    .narrow = true,
};

}  // namespace voxshift::ops
