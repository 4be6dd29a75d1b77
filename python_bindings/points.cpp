// Point clouds: voxels and synthetic scans.
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/synth/lidar.h>

#include <array>
#include <utility>
#include <variant>

#include "arrays.h"
#include "bindings.h"
#include "options.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Corners = std::pair<std::array<float, 3>, std::array<float, 3>>;

py::dict objects_of(SynthScan& scan) {
  const auto count = static_cast<std::int64_t>(scan.objects.size());
  std::vector<float> boxes;
  std::vector<std::int64_t> points;
  py::list types;
  for (const SynthObject& object : scan.objects) {
    const Box3d& box = object.box;
    boxes.insert(boxes.end(), {box.x, box.y, box.z, box.length, box.width, box.height, box.yaw});
    points.push_back(object.points);
    types.append(py::str(kitti_type(object.kind)));
  }
  py::dict found;
  found["boxes"] = array_of(std::move(boxes), {count, 7});
  found["types"] = std::move(types);
  found["points"] = array_of(std::move(points), {count});
  const auto n = static_cast<std::int64_t>(scan.object.size());
  found["object"] = array_of(std::move(scan.object), {n});
  return found;
}

py::tuple scan(std::uint64_t seed, bool vary_sensor, bool boxes) {
  SynthScan made = [&] {
    const py::gil_scoped_release without_gil;
    return synth_lidar(seed, {vary_sensor});
  }();
  const auto n = static_cast<std::int64_t>(made.labels.size());
  const py::object points = array_of(std::move(made.points), {n, 4}), labels = array_of(std::move(made.labels), {n});
  if (boxes) return py::make_tuple(points, labels, objects_of(made));
  return py::make_tuple(points, labels);
}

using OneOrThree = std::variant<float, std::array<float, 3>>;

constexpr const char* kVoxelizeDoc = R"(Voxels of points float32 [N, C], C >= 3, x y z first, in metres.

Cells are round(xyz / voxel_size) in float32 (torchsparse's sparse_quantize with the rounding of spvnas).
voxel_size: metres, one number or one for each axis. rounding: "half_even" (numpy.round), "half_away" (from 0, C's round) or "floor".
range: the box ((x, y, z), (x, y, z)), lowest and highest, that points must lie in; the highest is outside.
reduce: how the points of a voxel give its features, "first", "mean", "max" or "sum".
origin: cells are counted from the "sensor", or from the "lowest" cell of each axis as spvnas does.
row_splits: int32 or int64 [B + 1]; rows [s[b], s[b + 1]) are cloud b, the first coordinate of its voxels.
axes: "cylindrical" cells and ranges are of sqrt(x^2 + y^2), atan2(y, x) in radians and z, as Cylinder3D's; features stay.

Points that are not finite or lie outside the range are dropped and counted. Raises ValueError for another shape or
dtype, a voxel size that is not positive, a range whose lowest corner is not below its highest along each axis, and cells
that span more than 63 bits.)";

constexpr const char* kVoxelizeFeaturesDoc =
    R"(Features of points reduced by their voxels: [voxels, C] of their dtype.

features [N, C] float32 or, on CUDA, float16 or bfloat16, summed in float32; inverse int32 or int64 [N], the voxel of each point, -1 for none. reduce: "first", "mean", "max"
or "sum", taken in the order of the points; a voxel without points gets 0 (torchsparse's spvoxelize). Raises ValueError,
also for a result of more than 2**31 - 1 numbers.)";

constexpr const char* kVoxelizeFeaturesBackwardDoc =
    R"(Gradient [N, C] of the features for grad [voxels, C] of their dtype, that of voxelize_features.

inverse and reduce as given to it; features [N, C] are needed for "max" alone, else None will do. A maximum's
gradient goes, channel by channel, to the point that has it, among equal ones to the lowest. Raises ValueError.)";

constexpr const char* kSynthLidarDoc =
    R"(One scan of a simulated LiDAR in a random street; the same arguments give the same bits.

The sensor is an HDL-64E 1.73 m over the road, as KITTI's; with vary_sensor its height, tilt, beams, noise and lost
returns differ from seed to seed, as training for an unknown sensor wants them.

Returns (points, labels): points float32 [N, 4], x y z in metres in the sensor's frame and remission in [0, 1], and
labels uint32 [N], raw SemanticKITTI ids, 99 for things without a class.

With boxes, returns (points, labels, objects): a dict of the M cars, vans, trucks, persons and bicyclists that have a
point. "boxes" float32 [M, 7]: x y z of the centre, length, width and height in metres, and yaw in radians from x towards
y, the bounds of the body along its heading, a car's without its mirrors; "types", M of KITTI's "Car", "Van", "Truck",
"Pedestrian" and "Cyclist"; "points" int64 [M], how many lie on each; and "object" int32 [N], the object that each point
of the scan lies on, -1 for none.)";

}  // namespace

void bind_points(py::module_& m) {
  py::class_<Voxels> type(m, "Voxels", "Voxels of a point cloud, made by voxelize.");
  type.def_readonly("tensor", &Voxels::tensor,
                    "SparseTensor: coordinates (cloud, x, y, z) in cells, features the points' columns.")
      .def_property_readonly(
          "inverse", [](const Voxels& v) { return array_to(v.inverse); },
          "int32 [N]: the row of each point, -1 for a dropped one.")
      .def_readonly("dropped", &Voxels::dropped, "Points that are not finite or lie outside the range.");
  pickle_by_fields(type, &Voxels::tensor, &Voxels::inverse, &Voxels::dropped);
  m.def(
      "voxelize",
      [](const Array& points, const OneOrThree& voxel_size, const std::string& rounding,
         const std::optional<Corners>& range, const std::string& reduce, const std::string& origin,
         const std::optional<Array>& row_splits, const std::string& axes) {
        VoxelizeOptions options;
        options.voxel_size = std::visit([](const auto& size) { return VoxelSize(size); }, voxel_size);
        options.rounding = rounding_of("voxelize", rounding);
        if (range) options.range = Range{range->first, range->second};
        options.reduce = reduce_of("voxelize", reduce);
        options.from_lowest = from_lowest_of("voxelize", origin);
        options.axes = axes_of("voxelize", axes);
        return voxelize(point_set(points, row_splits), options);
      },
      "points"_a, py::arg_v("voxel_size", 0.05f, "0.05"), "rounding"_a = "half_even", "range"_a = py::none(),
      "reduce"_a = "first", "origin"_a = "sensor", "row_splits"_a = py::none(), "axes"_a = "cartesian", WithoutGil(),
      kVoxelizeDoc);
  m.def(
      "voxelize_features",
      [](const Array& features, const Array& inverse, std::int64_t voxels, const std::string& reduce) {
        constexpr const char* kOp = "voxelize_features";
        return voxelize_features(features, as_int32(kOp, "inverse", inverse), voxels, reduce_of(kOp, reduce));
      },
      "features"_a, "inverse"_a, "voxels"_a, "reduce"_a = "mean", WithoutGil(), kVoxelizeFeaturesDoc);
  m.def(
      "voxelize_features_backward",
      [](const std::optional<Array>& features, const Array& inverse, const Array& grad, const std::string& reduce) {
        constexpr const char* kOp = "voxelize_features_backward";
        return voxelize_features_backward(features, as_int32(kOp, "inverse", inverse), grad, reduce_of(kOp, reduce));
      },
      "features"_a, "inverse"_a, "grad"_a, "reduce"_a = "mean", WithoutGil(), kVoxelizeFeaturesBackwardDoc);
  m.def("synth_lidar", &scan, "seed"_a, "vary_sensor"_a = false, "boxes"_a = false, kSynthLidarDoc);
}

}  // namespace voxshift::python
