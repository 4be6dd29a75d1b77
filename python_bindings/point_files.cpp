// Point cloud files.
#include <pybind11/stl/filesystem.h>
#include <voxshift/files/read_points.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "arrays.h"
#include "bindings.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

/// A PointCloud with numpy arrays; None where the file has no such field.
struct FileCloud {
  py::object points, rgb, label, ring, time;
  std::array<double, 3> origin;
  bool has_remission;
};

template <class T>
py::object field_of(std::vector<T> values, const Shape& shape) {
  if (values.empty()) return py::none();
  return array_of(std::move(values), shape);
}

FileCloud read(const std::filesystem::path& path, std::optional<int> columns) {
  PointCloud cloud = [&] {
    const py::gil_scoped_release without_gil;
    return read_points(path, columns);
  }();
  for (const std::string& note : cloud.notes)
    if (PyErr_WarnEx(PyExc_UserWarning, (path.string() + ": " + note).c_str(), 1) != 0) throw py::error_already_set();
  const std::int64_t n = cloud.count();
  return {array_of(std::move(cloud.points), {n, cloud.columns}),
          field_of(std::move(cloud.rgb), {n, 3}),
          field_of(std::move(cloud.label), {n}),
          field_of(std::move(cloud.ring), {n}),
          field_of(std::move(cloud.time), {n}),
          cloud.origin,
          cloud.has_remission};
}

constexpr const char* kPointCloudDoc = R"(The points of a file, made by read_points.)";

constexpr const char* kReadPointsDoc =
    R"(Reads a .bin, .npy, .ply or .pcd file of points, as the command `voxshift segment` does.

columns: float32 values per row of a .bin, 3 to 1024; unless given, 4 (KITTI), or what the values show, as 5 (nuScenes).
What is guessed is said in a UserWarning. Fields are known by their usual names, such as intensity or reflectivity for the
remission. Raises OSError for a file that is missing, cut or not what its name says.)";

}  // namespace

void bind_point_files(py::module_& m) {
  py::class_<FileCloud> cloud(m, "PointCloud", kPointCloudDoc);
  cloud
      .def_readonly("points", &FileCloud::points,
                    "float32 [N, C >= 4]: x, y, z in metres less origin, remission in the file's unit or 0, further\n"
                    "columns of a .bin or .npy.")
      .def_readonly("rgb", &FileCloud::rgb, "uint8 [N, 3] or None.")
      .def_readonly("label", &FileCloud::label, "uint32 [N] or None.")
      .def_readonly("ring", &FileCloud::ring, "int32 [N] or None: the beam of each point.")
      .def_readonly("time", &FileCloud::time, "float64 [N] or None, in the file's unit.")
      .def_readonly("origin", &FileCloud::origin,
                    "[x, y, z], 0 but where float32 would round the file's coordinates, as those of UTM.")
      .def_readonly("has_remission", &FileCloud::has_remission, "Whether the file has one; else it is 0.")
      .def("__len__", [](const FileCloud& c) { return py::len(c.points); });
  pickle_by_fields(cloud, &FileCloud::points, &FileCloud::rgb, &FileCloud::label, &FileCloud::ring, &FileCloud::time,
                   &FileCloud::origin, &FileCloud::has_remission);
  m.def("read_points", &read, "path"_a, "columns"_a = py::none(), kReadPointsDoc);
}

}  // namespace voxshift::python
