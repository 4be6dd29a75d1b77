#include <voxshift/graph/steps.h>

#include <algorithm>
#include <array>

namespace voxshift::ops {
namespace {

constexpr double kUnlimited = 1e30;

std::array<float, 3> metres_of(const PerAxisNumber& numbers) {
  std::array<float, 3> floats{};
  std::transform(numbers.begin(), numbers.end(), floats.begin(), [](double n) { return static_cast<float>(n); });
  return floats;
}

CellGrid cells_of(const Inference& node) {
  CellGrid cells;
  cells.size = metres_of(node.node().per_axis_number("voxel_size"));
  const Range range{metres_of(node.node().per_axis_number("lowest")),
                    metres_of(node.node().per_axis_number("highest"))};
  for (std::size_t axis = 0; axis < range.lowest.size(); ++axis) {
    node.expect(range.lowest[axis] < range.highest[axis], "expects lowest below highest, found ", range.lowest[axis],
                " and ", range.highest[axis], " along axis ", axis);
    if (range.lowest[axis] > static_cast<float>(-kUnlimited)) cells.origin[axis] = range.lowest[axis];
  }
  cells.range = range;
  cells.clamped = node.node().word("outside") == "clamped";
  cells.axes = node.node().word("axes") == "cylindrical" ? CellAxes::kCylindrical : CellAxes::kCartesian;
  return cells;
}

}  // namespace

extern const OpDefinition voxelize_points{
    .name = "voxelize_points",
    .text =
        "The mean, maximum or sum of the rows of x, values at points, in each voxel that holds a point of [lowest, "
        "highest): voxel floor((xyz - lowest) / voxel_size), along an axis without lowest floor(xyz / voxel_size). "
        "Points with a column that is not finite lie in none. What lies between lowest and highest is the extent that "
        "bounded convolutions need. Sources: PointPillars, torch_scatter.",
    .inputs = {"x"},
    .attributes = {per_axis_number("voxel_size", 1e-6, 1e6, "metres, of an angle radians"),
                   per_axis_number("lowest", -kUnlimited, kUnlimited, "likewise; -1e30: no limit", {-kUnlimited}),
                   per_axis_number("highest", -kUnlimited, kUnlimited, "likewise; 1e30: no limit", {kUnlimited}),
                   word("reduce", {"mean", "max", "sum"}, "what becomes of the points of a voxel"),
                   word("outside", {"dropped", "clamped"},
                        "what becomes of points outside of that box: clamped ones lie in its cells nearest to them"),
                   word("axes", {"cartesian", "cylindrical"},
                        "cylindrical: xyz is what the op of this name makes of it")},
    .infer =
        [](Inference& node) {
          Domain voxels;
          voxels.kind = Domain::Kind::kOfPoints;
          voxels.parent = node.expect_points(0);
          voxels.cells = cells_of(node);
          return ValueType{node.domains().find_or_add(voxels), node.in(0).channels};
        },
    .lower =
        [](const Draft& draft, Lowering& lowering) {
          const std::string& reduce = draft.node->word("reduce");
          (reduce == "max" ? lower_max : reduce == "sum" ? lower_sum : lower_mean)(draft, lowering);
        },
};

}  // namespace voxshift::ops
