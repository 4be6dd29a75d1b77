#include <voxshift/graph/lowering.h>
#include <voxshift/sparse_conv/kernels.h>

namespace voxshift::ops {
namespace {

constexpr std::int64_t kMostExtent = 1 << 13;

class BirdEyeViewStep final : public Step {
 public:
  explicit BirdEyeViewStep(const Domain& view) : view_(view) {}
  std::string kind() const override { return "bird_eye_view"; }
  void run(const StepRun& run) const override {
    sparse_conv_kernels(run.context.device)
        .bird_eye_view(run.context, run.x, run.rows.domain(view_.parent).level,
                       {view_.axis, view_.depth, view_.extent.height, view_.extent.width}, run.y);
  }

 private:
  Domain view_;
};

}  // namespace

extern const OpDefinition bird_eye_view{
    .name = "bird_eye_view",
    .text =
        "The voxels as an image per batch, seen along one axis: voxel (y, x) with height z has its channel c in "
        "channel "
        "c * depth + z of pixel (y, x), where y and x are the other axes in their order; 0 elsewhere. What lies "
        "outside "
        "is left out. The view(N, C * D, H, W) of SECOND.",
    .inputs = {"x"},
    .attributes = {per_axis("shape", 1, kMostExtent, "extent of the voxels along each spatial axis"),
                   whole("axis", 0, 2, "the axis that is folded into the channels", {std::int64_t{2}})},
    .infer =
        [](Inference& node) {
          node.expect(node.dims() == 3, "needs voxels on 3 axes, the network has ", node.dims());
          const PerAxis& shape = node.node().per_axis("shape");
          Domain view;
          view.kind = Domain::Kind::kBev;
          view.parent = node.expect_voxels(0);
          view.axis = static_cast<int>(node.node().whole("axis"));
          view.depth = shape[static_cast<std::size_t>(view.axis)];
          view.extent = {shape[view.axis == 0 ? 1 : 0], shape[view.axis == 2 ? 1 : 2]};
          return ValueType{node.domains().find_or_add(view), node.in(0).channels * view.depth};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const Domain& view = lowering.domains()[lowering.domain(draft.output)];
          lowering.add(draft, std::make_unique<BirdEyeViewStep>(view));
        },
    .narrow = true,
};

}  // namespace voxshift::ops
