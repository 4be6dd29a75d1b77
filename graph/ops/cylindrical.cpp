#include <voxshift/graph/lowering.h>
#include <voxshift/point_voxel/kernels.h>

namespace voxshift::ops {
namespace {

class CylindricalStep final : public Step {
 public:
  std::string kind() const override { return "cylindrical"; }
  void run(const StepRun& run) const override {
    point_voxel_kernels(run.context.device).cylindrical(run.context, run.x, run.y);
  }
  bool row_by_row() const override { return true; }
};

}  // namespace

extern const OpDefinition cylindrical{
    .name = "cylindrical",
    .text = "sqrt(x^2 + y^2), atan2(y, x) and z of the first three channels x, y and z. Source: Cylinder3D.",
    .inputs = {"x"},
    .infer =
        [](Inference& node) {
          node.expect(node.in(0).channels >= 3, "takes x, y and z as the first three channels, found ",
                      node.in(0).channels);
          return ValueType{node.in(0).domain, 3};
        },
    .lower = [](const Draft& draft, Lowering& lowering) { lowering.add(draft, std::make_unique<CylindricalStep>()); },
};

}  // namespace voxshift::ops
