#include <voxshift/graph/lowering.h>
#include <voxshift/point_voxel/kernels.h>

namespace voxshift::ops {
namespace {

class GroupStep final : public Step {
 public:
  explicit GroupStep(const Domain& groups) : groups_(groups) {}
  std::string kind() const override { return "group"; }
  void run(const StepRun& run) const override {
    point_voxel_kernels(run.context.device)
        .group(run.context, run.rows.domain(groups_.points).points, run.rows.domain(groups_.parent).points,
               run.rows.domain(domain).indices, groups_.count, run.x, run.y);
  }

 private:
  Domain groups_;
};

}  // namespace

extern const OpDefinition group{
    .name = "group",
    .text =
        "`count` neighbours of each center within `radius`: x, y and z relative to it, then their features. Source: "
        "PointNet++.",
    .inputs = {"points", "centers"},
    .attributes = {whole("count", 1, kMostSamples, "neighbours of each center"),
                   number("radius", 1e-30, 1e30, "metres")},
    .infer =
        [](Inference& node) {
          Domain groups;
          groups.kind = Domain::Kind::kGroups;
          groups.points = node.expect_points(0);
          groups.parent = node.expect_points(1);
          groups.count = node.node().whole("count");
          groups.radius = node.node().number("radius");
          return ValueType{node.domains().find_or_add(groups), 3 + node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const Domain& groups = lowering.domains()[lowering.domain(draft.output)];
          lowering.add(draft, std::make_unique<GroupStep>(groups));
        },
};

}  // namespace voxshift::ops
