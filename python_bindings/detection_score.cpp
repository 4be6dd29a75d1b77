// Scores of detection: evaluate_detections.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <voxshift/tasks/detection_score.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Names = std::vector<std::string>;
template <class T>
using Column = py::array_t<T, py::array::c_style | py::array::forcecast>;

/// Of the predictions or truths of one scan, for messages.
struct Place {
  const char* side;
  std::size_t scan;
};

std::ostream& operator<<(std::ostream& stream, const Place& place) {
  return stream << "[evaluate_detections] " << place.side << " of scan " << place.scan << ": ";
}

/// A key of a dict, or an attribute, as of Detections.
bool has(const py::object& scan, const char* key) {
  return py::isinstance<py::dict>(scan) ? py::dict(scan).contains(key) : py::hasattr(scan, key);
}

py::object entry(const py::object& scan, const char* key, const Place& place) {
  check(has(scan, key), place, "expects a dict with the key '", key, "'");
  return py::isinstance<py::dict>(scan) ? py::object(py::dict(scan)[key]) : scan.attr(key);
}

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

/// A number per box.
template <class T>
Column<T> column(const py::object& scan, const char* key, std::size_t boxes, const Place& place) {
  const py::array given = py::array::ensure(entry(scan, key, place));
  const char kind = given ? given.dtype().kind() : 'O';
  check(kind == 'i' || kind == 'u' || (kind == 'f' && std::is_floating_point_v<T>), place, "expects numbers as ", key);
  check(given.ndim() == 1 && static_cast<std::size_t>(given.size()) == boxes, place, "expects ", key, " [", boxes,
        "], found ", shape_of(given));
  return Column<T>(given);
}

std::string type_of(py::handle given, const Names& names, const Place& place) {
  if (py::isinstance<py::str>(given)) return given.cast<std::string>();
  check(PyIndex_Check(given.ptr()) != 0, place, "expects classes that are names, or places in class_names");
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()));
  if (!index) throw py::error_already_set();
  const py::ssize_t at = PyLong_AsSsize_t(index.ptr());
  PyErr_Clear();  // too large a number is -1
  check(at >= 0 && at < static_cast<py::ssize_t>(names.size()), place, "expects classes of the ", names.size(),
        " in class_names, found ", std::string(py::str(index)));
  return names[static_cast<std::size_t>(at)];
}

std::vector<LabelledBox> objects_of(const py::object& scan, const Names& names, bool& has_velocities,
                                    const Place& place) {
  const auto boxes = Column<float>::ensure(entry(scan, "boxes", place));
  if (!boxes) PyErr_Clear();
  check(boxes && boxes.ndim() == 2 && (boxes.shape(1) == 7 || boxes.shape(1) == 9), place,
        "expects boxes [N, 7], or [N, 9] with velocities", boxes ? ", found " : "", boxes ? shape_of(boxes) : Shape());
  const auto columns = static_cast<std::size_t>(boxes.shape(1));
  const auto rows = static_cast<std::size_t>(boxes.shape(0));
  has_velocities &= columns == 9 || rows == 0;
  const py::list types(entry(scan, !has(scan, "classes") && has(scan, "types") ? "types" : "classes", place));
  check(types.size() == rows, place, "expects classes [", rows, "], found ", types.size());
  std::vector<LabelledBox> objects;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* row = boxes.data() + i * columns;
    LabelledBox object{.type = type_of(types[i], names, place),
                       .box = {row[0], row[1], row[2], row[3], row[4], row[5], row[6]}};
    if (columns == 9) object.box.vx = row[7], object.box.vy = row[8];
    objects.push_back(std::move(object));
  }
  return objects;
}

ScoredScan scan_of(const py::object& predictions, const py::object& truths, const Names& names, bool& has_velocities,
                   std::size_t index) {
  const Place found{"predictions", index}, there{"truths", index};
  ScoredScan scan{objects_of(predictions, names, has_velocities, found),
                  objects_of(truths, names, has_velocities, there)};
  const auto scores = column<float>(predictions, "scores", scan.predictions.size(), found);
  for (std::size_t i = 0; i < scan.predictions.size(); ++i) scan.predictions[i].score = scores.data()[i];
  if (has(truths, "points")) {
    const auto points = column<std::int64_t>(truths, "points", scan.truths.size(), there);
    scan.points.assign(points.data(), points.data() + points.size());
  }
  if (has(truths, "occlusion")) {
    const auto occlusion = column<std::int32_t>(truths, "occlusion", scan.truths.size(), there);
    for (std::size_t i = 0; i < scan.truths.size(); ++i) scan.truths[i].occlusion = occlusion.data()[i];
  }
  return scan;
}

template <class Values>
py::dict by_level(const Values& values) {
  py::dict result;
  for (std::size_t level = 0; level < kDetectionLevels.size(); ++level)
    result[kDetectionLevels[level].name] = values[level];
  return result;
}

py::dict dict_of(const KittiScore& score) {
  py::dict classes;
  for (const KittiClassScore& one : score.classes)
    classes[one.name.c_str()] = py::dict("overlap"_a = one.overlap, "truths"_a = by_level(one.truths),
                                         "bev"_a = by_level(one.bev), "3d"_a = by_level(one.volume));
  return py::dict("protocol"_a = "kitti", "classes"_a = classes);
}

py::dict dict_of(const DetectionErrors& errors) {
  return py::dict("translation"_a = errors.translation, "scale"_a = errors.scale, "orientation"_a = errors.orientation,
                  "velocity"_a = errors.velocity);
}

py::dict dict_of(const NuScenesScore& score) {
  py::dict classes;
  for (const NuScenesClassScore& one : score.classes) {
    py::dict ap;
    for (std::size_t i = 0; i < kMatchDistances.size(); ++i) ap[py::float_(kMatchDistances[i])] = one.ap[i];
    classes[one.name.c_str()] =
        py::dict("truths"_a = one.truths, "ap"_a = ap, "mean_ap"_a = one.mean_ap(), "errors"_a = dict_of(one.errors));
  }
  return py::dict("protocol"_a = "nuscenes", "mean_ap"_a = score.mean_ap, "errors"_a = dict_of(score.errors),
                  "nds"_a = score.nds, "classes"_a = classes);
}

py::dict evaluate_detections(const std::vector<py::object>& predictions, const std::vector<py::object>& truths,
                             const std::string& protocol, const std::optional<Names>& class_names,
                             std::optional<double> max_distance) {
  check(predictions.size() == truths.size(), "[evaluate_detections] expects predictions and truths of the same scans, ",
        "found ", predictions.size(), " and ", truths.size());
  check(protocol == "kitti" || protocol == "nuscenes",
        "[evaluate_detections] protocol expects one of kitti, nuscenes, found \"", protocol, "\"");
  std::vector<ScoredScan> scans;
  bool has_velocities = true;
  for (std::size_t i = 0; i < truths.size(); ++i)
    scans.push_back(scan_of(predictions[i], truths[i], class_names.value_or(Names()), has_velocities, i));
  const auto scored = [&](const auto& score) {
    const py::gil_scoped_release without_gil;
    return score();
  };
  const double distance = max_distance.value_or(kAnyDistance);
  if (protocol == "kitti") return dict_of(scored([&] { return score_kitti(scans, distance); }));
  return dict_of(scored([&] { return score_nuscenes(scans, has_velocities, distance); }));
}

constexpr const char* kEvaluateDoc = R"(How good detected boxes are, as KITTI or nuScenes score them.

predictions and truths: one dict per scan, in the same order; predictions may also be Detections.
    boxes      [N, 7]: x y z (the centre) length width height in metres, yaw in radians from x towards y, in the frame of
               the sensor; [N, 9] with the velocities vx vy in metres a second.
    classes    [N]: names, or whole numbers that are places in class_names; or types, as synth_lidar calls them. Names are
               KITTI's or nuScenes', in any case.
    scores     [N], of predictions.
    points     [N] whole numbers, of truths, optional: points of the scan in the box.
    occlusion  [N] whole numbers 0 to 3, of truths, optional (0): KITTI's, in place of points.

protocol "kitti": average precision at 40 recalls of Car, Van and Truck (overlap above 0.7), Pedestrian and Cyclist
(0.5), by the rules of KITTI's evaluator. Levels are made of points (else occlusion) and distance: easy from 50 points (0)
to 30 m, moderate from 15 (1) to 50 m, hard from 5 (2) to 70 m. Fewer than 41 counted truths cannot reach 1.
    {"protocol", "classes": {"Car": {"overlap", "truths", "bev", "3d"}, ..}}; the last three are {"easy", "moderate",
    "hard"}: counted truths, AP seen from above and of volumes, 0 to 1, NaN without a truth.

protocol "nuscenes": AP by the distance of the centres, and the errors of what matches within 2 m, as nuscenes-devkit has
them (detection_cvpr_2019), but that classes which do not occur are left out of the means and nobody knows attributes:
nds = (5 mean_ap + sum of max(0, 1 - error)) / (5 + n) over the n errors that are not NaN. Velocities are scored where all
boxes have them; a truth's may be NaN.
    {"protocol", "mean_ap", "nds", "errors": {"translation", "scale", "orientation", "velocity"},
    "classes": {"car": {"truths", "ap": {0.5, 1.0, 2.0, 4.0}, "mean_ap", "errors"}, ..}}

max_distance: metres from the sensor beyond which nothing counts; None: the protocol's limits alone.

Raises ValueError for lists and arrays of other lengths or shapes, scores that are not finite and unknown protocols.)";

}  // namespace

void bind_detection_score(py::module_& m) {
  m.def("evaluate_detections", &evaluate_detections, "predictions"_a, "truths"_a, "protocol"_a = "kitti",
        "class_names"_a = py::none(), "max_distance"_a = py::none(), kEvaluateDoc);
}

}  // namespace voxshift::python
