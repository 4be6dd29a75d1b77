// Boxes: how much they overlap, which remain, and Detector, which finds them in points.
#include <pybind11/stl.h>
#include <voxshift/detection/boxes.h>
#include <voxshift/tasks/detector.h>

#include <memory>
#include <utility>

#include "arrays.h"
#include "bindings.h"
#include "guarded.h"
#include "layers.h"
#include "loaded_model.h"
#include "pickling.h"
#include "prepared_points.h"
#include "threads.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

/// A Detector with the device that it runs on.
struct DeviceDetector {
  Detector detector;
  Device device;
};

using Guard = Guarded<DeviceDetector>;
using Classes = std::optional<Array>;

NmsOptions nms_options(const char* op, const Classes& classes, std::int64_t candidates, std::int64_t most) {
  NmsOptions options{{}, candidates, most};
  if (classes) options.classes = as_int32(op, "classes", *classes);
  return options;
}

std::unique_ptr<Guard> make_detector(const LoadedModel& model, const std::optional<AnyThreads>& threads) {
  const Threads own = threads ? threads_of("Detector", threads, {}) : Threads(model.pool());
  return std::make_unique<Guard>(
      DeviceDetector{Detector(model.model(), model.device(), own, model.dtype()), model.device()});
}

Detections moved(const Detections& found, Device device) {
  return {found.boxes.to(device), found.scores.to(device), found.classes.to(device)};
}

Detections detect(Guard& guard, const Array& points, const std::optional<std::string>& sensor,
                  std::optional<float> remission_scale, const std::optional<Origin>& origin) {
  check_points_are_rows("detect", points.shape(), 4);
  const PrepareOptions options = prepare_options("detect", sensor, remission_scale, origin);
  const auto [found, notes] = [&] {
    const py::gil_scoped_release without_gil;
    return guard.use([&](DeviceDetector& d) {
      const Array there = points.device() == Device::cpu() ? points : points.to(d.device);
      Detections boxes = moved(d.detector.detect(there, options), points.device());
      return std::pair(std::move(boxes), d.detector.report().notes);
    });
  }();
  warn("detect", notes);
  return found;
}

py::dict report(Guard& guard) {
  const DetectReport run = [&] {
    const py::gil_scoped_release without_gil;
    return guard.use([](DeviceDetector& d) { return d.detector.report(); });
  }();
  const py::dict seconds("voxelize"_a = run.voxelize_seconds, "maps"_a = run.maps_seconds,
                         "network"_a = run.network_seconds, "boxes"_a = run.boxes_seconds);
  return py::dict("points"_a = run.points, "dropped"_a = run.dropped_points, "macs"_a = run.macs, "seconds"_a = seconds,
                  "layers"_a = layers_of(run));
}

constexpr const char* kIouBevDoc = R"(Intersection over union of boxes seen from above: float32 [N, M].

a float32 [N, C], b float32 [M, C'], C and C' >= 7: x y z (the centre) length width height in metres, yaw in radians from x
towards y. Exact but for rounding; 0 where a box is not finite or has a negative size. As boxes_iou_bev of OpenPCDet. Raises
ValueError for other shapes or dtypes.)";

constexpr const char* kIou3dDoc = R"(Intersection over union of the boxes' volumes: float32 [N, M].

Arguments as of boxes_iou_bev. As boxes_iou3d_gpu of OpenPCDet.)";

constexpr const char* kNmsDoc =
    R"(Rows int32 [K] of the boxes that remain, from the highest score on, equal ones by row.

boxes float32 [N, C], C >= 7, as of boxes_iou_bev; scores float32 [N]. A box is left out where its overlap seen from above
with a remaining one of a higher score is above threshold. classes int32 or int64 [N]: boxes leave those of other classes
alone, those below 0 do not remain. candidates: this many of the highest scores take part, at most 16384. most: boxes of
the result. Boxes that are not finite or of negative size, and scores that are NaN or below 0, do not remain. As nms_bev of
mmdetection3d, nms_gpu of OpenPCDet. Raises ValueError for other shapes, dtypes and numbers out of range.)";

constexpr const char* kCircleNmsDoc = R"(As nms_bev, but a box is left out where its centre is within radius metres of a
remaining one's, seen from above.

As circle_nms of CenterPoint, whose threshold is the square of the radius.)";

constexpr const char* kDetectorDoc = R"(Finds boxes in the points of a scan, with a model that has a detection head.

It keeps its memory from scan to scan; detectors of one model share nothing but the model. Threads that use one detector
take turns. model: where it runs, and its dtype, are the model's. threads: the model's unless given: a number, or a
ThreadPool to share. Raises ValueError for a model without a head or a profile of whole scans.)";

constexpr const char* kDetectDoc = R"(The Detections of a scan, best first.

points: float32 [N, C], x y z in metres, remission, of models that take several sweeps their age in seconds; what is missing
is 0. sensor: "kitti", "nuscenes", "waymo", "ouster" or "livox". remission_scale: what a perfect reflector has, 1, 255 or
65535. origin: x, y, z of the sensor among the points, in metres. What is not given and looks unlike what the model's
profile takes is guessed, and a UserWarning says how; points on a CUDA device are taken as they are. A scan without points
in the model's range has no boxes. Raises ValueError for another shape or dtype.)";

void bind_boxes(py::module_& m) {
  m.def("boxes_iou_bev", &boxes_iou_bev, "a"_a, "b"_a, WithoutGil(), kIouBevDoc);
  m.def("boxes_iou3d", &boxes_iou3d, "a"_a, "b"_a, WithoutGil(), kIou3dDoc);
  m.def(
      "nms_bev",
      [](const Array& boxes, const Array& scores, float threshold, const Classes& classes, std::int64_t candidates,
         std::int64_t most) {
        return nms_bev(boxes, scores, threshold, nms_options("nms_bev", classes, candidates, most));
      },
      "boxes"_a, "scores"_a, "threshold"_a, "classes"_a = py::none(), "candidates"_a = 4096, "most"_a = 500,
      WithoutGil(), kNmsDoc);
  m.def(
      "circle_nms",
      [](const Array& boxes, const Array& scores, float radius, const Classes& classes, std::int64_t candidates,
         std::int64_t most) {
        return circle_nms(boxes, scores, radius, nms_options("circle_nms", classes, candidates, most));
      },
      "boxes"_a, "scores"_a, "radius"_a, "classes"_a = py::none(), "candidates"_a = 4096, "most"_a = 500, WithoutGil(),
      kCircleNmsDoc);
}

}  // namespace

void bind_detection(py::module_& m) {
  bind_boxes(m);
  py::class_<Detections> detections(m, "Detections", "Boxes in the frame of the scan, best first.");
  detections
      .def_readonly("boxes", &Detections::boxes,
                    "float32 [N, 7], with velocities [N, 9]: x y z (the centre) length width height in metres, yaw in "
                    "radians\nfrom x towards y, vx vy in metres a second.")
      .def_readonly("scores", &Detections::scores, "float32 [N]: 0 to 1, descending.")
      .def_readonly("classes", &Detections::classes, "int32 [N]: positions in Model.classes.")
      .def("__len__", [](const Detections& d) { return d.scores.count(); })
      .def("__repr__",
           [](const Detections& d) { return "Detections(" + std::to_string(d.scores.count()) + " boxes)"; });
  pickle_by_fields(detections, &Detections::boxes, &Detections::scores, &Detections::classes);
  py::class_<Guard> detector(m, "Detector", kDetectorDoc);
  refuse_pickling(detector, "it holds a network's memory and threads; make a new one of the model");
  detector.def(py::init(&make_detector), "model"_a, "threads"_a = py::none(), WithoutGil())
      .def("detect", &detect, "points"_a, "sensor"_a = py::none(), "remission_scale"_a = py::none(),
           "origin"_a = py::none(), kDetectDoc)
      .def_property_readonly(
          "report", &report,
          "Cost of the last scan: {points, dropped, macs, seconds: {voxelize, maps, network, boxes},\n"
          "layers} as of Model.report.");
}

}  // namespace voxshift::python
