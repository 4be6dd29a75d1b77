#include <voxshift/graph/steps.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::ops {
namespace {

// Rows of a link's coarser end, repeated at its finer end.
class BroadcastStep final : public Step {
 public:
  explicit BroadcastStep(int link) : link_(link) {}
  std::string kind() const override { return "broadcast"; }
  void run(const StepRun& run) const override {
    row_kernels(run.context.device).gather(run.context, run.x, run.rows.link(link_).parents + run.first, run.y);
  }
  bool row_by_row() const override { return true; }

 private:
  int link_;
};

}  // namespace

extern const OpDefinition broadcast{
    .name = "broadcast",
    .text = "The row of its cloud for every row of `like`.",
    .inputs = {"clouds", "like"},
    .infer =
        [](Inference& node) {
          node.expect(node.in(0).domain == node.clouds(), "takes one row per cloud");
          return ValueType{node.in(1).domain, node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int link = lowering.link(lowering.domain(draft.output), lowering.domain(draft.inputs[0]), false);
          lowering.add(draft, std::make_unique<BroadcastStep>(link));
        },
};

}  // namespace voxshift::ops
