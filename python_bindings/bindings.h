// The parts of the module, one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace voxshift::python {

void bind_errors(pybind11::module_& m);
void bind_device_arrays(pybind11::module_& m);
void bind_threads(pybind11::module_& m);
void bind_tensors(pybind11::module_& m);
void bind_ops(pybind11::module_& m);
void bind_points(pybind11::module_& m);
void bind_point_files(pybind11::module_& m);
void bind_kitti_files(pybind11::module_& m);
void bind_checkpoints(pybind11::module_& m);
void bind_point_sets(pybind11::module_& m);
void bind_graph_ops(pybind11::module_& m);
void bind_models(pybind11::module_& m);
void bind_convert(pybind11::module_& m);  // after bind_models
void bind_evaluation(pybind11::module_& m);
void bind_detection_score(pybind11::module_& m);
void bind_video(pybind11::module_& m);
void bind_recognizer(pybind11::module_& m);  // after bind_models
void bind_detection(pybind11::module_& m);   // after bind_models
void bind_quantize(pybind11::module_& m);    // after bind_models
void bind_page(pybind11::module_& m);
void bind_command(pybind11::module_& m);

/// Held by every call that computes: other Python threads go on meanwhile.
using WithoutGil = pybind11::call_guard<pybind11::gil_scoped_release>;

}  // namespace voxshift::python
