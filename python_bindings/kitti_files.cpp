// KITTI's label and calibration files.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <voxshift/files/kitti.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

namespace fs = std::filesystem;

template <std::size_t N>
py::array matrix(const std::array<float, N>& values, std::int64_t rows) {
  return array_of(std::vector<float>(values.begin(), values.end()), {rows, static_cast<std::int64_t>(N) / rows});
}

py::dict calibration_dict(const fs::path& path) {
  const KittiCalibration calibration = [&] {
    const py::gil_scoped_release without_gil;
    return read_kitti_calibration(path);
  }();
  return py::dict("P2"_a = matrix(calibration.projection, 3), "R0_rect"_a = matrix(calibration.rectification, 3),
                  "Tr_velo_to_cam"_a = matrix(calibration.velo_to_cam, 3));
}

py::dict labels_dict(const fs::path& path, const std::optional<fs::path>& calibration) {
  const std::vector<LabelledBox> objects = [&] {
    const py::gil_scoped_release without_gil;
    return read_kitti_labels(path, calibration ? read_kitti_calibration(*calibration) : KittiCalibration::nominal());
  }();
  std::vector<std::string> types;
  std::vector<float> boxes, image_boxes, truncation, scores;
  std::vector<std::int32_t> occlusion;
  for (const LabelledBox& object : objects) {
    if (object.type == "DontCare") continue;
    const Box3d& b = object.box;
    types.push_back(object.type);
    boxes.insert(boxes.end(), {b.x, b.y, b.z, b.length, b.width, b.height, b.yaw});
    image_boxes.insert(image_boxes.end(), object.image_box.begin(), object.image_box.end());
    truncation.push_back(object.truncation);
    occlusion.push_back(object.occlusion);
    scores.push_back(object.score);
  }
  const auto n = static_cast<std::int64_t>(types.size());
  return py::dict("types"_a = types, "boxes"_a = array_of(std::move(boxes), {n, 7}),
                  "image_boxes"_a = array_of(std::move(image_boxes), {n, 4}),
                  "truncation"_a = array_of(std::move(truncation), {n}),
                  "occlusion"_a = array_of(std::move(occlusion), {n}), "scores"_a = array_of(std::move(scores), {n}));
}

constexpr const char* kLabelsDoc =
    R"(The objects of a KITTI label file, as a dict of lists and arrays with an entry for each.

types: list of str, "Car", .. boxes: float32 [N, 7], x y z (the centre) length width height yaw in the frame of the scan,
metres and radians. image_boxes: float32 [N, 4], left, top, right, bottom in pixels. truncation: float32 [N], 0 to 1.
occlusion: int32 [N], 0 to 3, -1 where none is given. scores: float32 [N], NaN in files of 15 columns. DontCare, which has no
box, is left out.

calibration: path of the scan's calibration file; a camera in the scanner's place that looks ahead unless given. Raises
OSError that names the line for a file that is missing or malformed.)";

constexpr const char* kCalibrationDoc = R"(The matrices of a KITTI calibration file, float32.

{P2 [3, 4]: pixels of rectified camera coordinates, R0_rect [3, 3], Tr_velo_to_cam [3, 4]}. Raises OSError that names the line
for a file that is missing or malformed.)";

}  // namespace

void bind_kitti_files(py::module_& m) {
  m.def("read_kitti_labels", &labels_dict, "path"_a, "calibration"_a = py::none(), kLabelsDoc);
  m.def("read_kitti_calibration", &calibration_dict, "path"_a, kCalibrationDoc);
}

}  // namespace voxshift::python
