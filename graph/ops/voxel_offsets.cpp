#include <voxshift/graph/lowering.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

namespace voxshift::ops {
namespace {

// Offsets are taken in f32: what f16 has for coordinates of a scan is centimetres apart.
class VoxelOffsetsStep final : public Step {
 public:
  VoxelOffsetsStep(const CellGrid& cells, int voxels, bool from_mean, Device device)
      : cells_(cells),
        voxels_(voxels),
        from_mean_(from_mean),
        minus_(Array::from(std::vector<float>(3, -1.0f), {3}).to(device)) {}
  std::string kind() const override { return "voxel_offsets"; }
  void run(const StepRun& run) const override {
    const Context& context = run.context;
    const DomainRows& voxels = run.rows.domain(voxels_);
    const PointVoxelKernels& kernels = point_voxel_kernels(context.device);
    const Arena::Mark mark = context.arena->mark();
    ConstRowView points = run.rows.domain(domain).points.columns(0, 3);
    if (cells_.axes == CellAxes::kCylindrical) {
      const RowView turned{context.arena->allocate<float>(3 * points.count), 3, points.count, 3, DType::kF32};
      kernels.cylindrical(context, points, turned);
      points = turned;
    }
    const RowView from{context.arena->allocate<float>(3 * voxels.count), 3, voxels.count, 3, DType::kF32};
    if (from_mean_) {
      coordinate_kernels(context.device).reduce(context, points, voxels.indices, Reduce::kMean, from);
    } else {
      kernels.cell_centers(context, voxels.level, cells_, static_cast<float*>(from.base));
    }
    // from - p, and its negative
    kernels.group(context, from, points, voxels.indices, 1, {}, run.y);
    row_kernels(context.device).affine(context, run.y, minus_.data<float>(), nullptr, {}, {}, run.y);
    context.arena->rewind(mark);
  }

 private:
  CellGrid cells_;
  int voxels_;
  bool from_mean_;
  const Array minus_;
};

}  // namespace

extern const OpDefinition voxel_offsets{
    .name = "voxel_offsets",
    .text =
        "x, y and z (of cylindrical voxels what `cylindrical` makes of them) of every point relative to the mean of "
        "its "
        "voxel's points, or to its voxel's center; zeros for points in none. The voxels are what voxelize_points made "
        "of the points. Sources: PointPillars, Cylinder3D.",
    .inputs = {"points", "voxels"},
    .attributes = {word("from", {"mean", "center"}, "what the offsets are from")},
    .infer =
        [](Inference& node) {
          const int points = node.expect_points(0);
          node.expect(node.domains().are_of_points(node.in(1).domain, points),
                      "takes voxels that voxelize_points made "
                      "of the points of \"",
                      node.node().inputs[0], "\", \"", node.node().inputs[1], "\" is none");
          return ValueType{points, 3};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const int voxels = lowering.domain(draft.inputs[1]);
          const bool from_mean = draft.node->word("from") == "mean";
          lowering.add(draft, std::make_unique<VoxelOffsetsStep>(lowering.domains()[voxels].cells, voxels, from_mean,
                                                                 lowering.device()));
        },
};

}  // namespace voxshift::ops
