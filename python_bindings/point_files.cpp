// Point cloud files.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <voxshift/files/field_names.h>
#include <voxshift/files/fields.h>
#include <voxshift/files/read_bytes.h>
#include <voxshift/files/read_points.h>

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

FileCloud file_cloud(PointCloud cloud) {
  const std::int64_t n = cloud.count();
  return {array_of(std::move(cloud.points), {n, cloud.columns}),
          field_of(std::move(cloud.rgb), {n, 3}),
          field_of(std::move(cloud.label), {n}),
          field_of(std::move(cloud.ring), {n}),
          field_of(std::move(cloud.time), {n}),
          cloud.origin,
          cloud.has_remission};
}

void warn_of(const std::vector<std::string>& notes, const std::filesystem::path& path) {
  for (const std::string& note : notes)
    if (PyErr_WarnEx(PyExc_UserWarning, (path.string() + ": " + note).c_str(), 1) != 0) throw py::error_already_set();
}

FileCloud read(const std::filesystem::path& path, std::optional<int> columns) {
  PointCloud cloud = [&] {
    const py::gil_scoped_release without_gil;
    return read_points(path, columns);
  }();
  warn_of(cloud.notes, path);
  return file_cloud(std::move(cloud));
}

py::dtype dtype_of(Scalar type) {
  static const std::map<Scalar, const char*> names = {{Scalar::kI8, "i1"},  {Scalar::kU8, "u1"},  {Scalar::kI16, "i2"},
                                                      {Scalar::kU16, "u2"}, {Scalar::kI32, "i4"}, {Scalar::kU32, "u4"},
                                                      {Scalar::kI64, "i8"}, {Scalar::kU64, "u8"}, {Scalar::kF16, "f2"},
                                                      {Scalar::kF32, "f4"}, {Scalar::kF64, "f8"}};
  return py::dtype(names.at(type));
}

/// (cloud, {name: values}) of a file, or of its bytes where they are given; the path is then their name in messages.
py::tuple read_all(const std::filesystem::path& path, const std::string& extension, std::optional<int> columns,
                   const std::optional<py::bytes>& data) {
  std::vector<OtherField> others;
  std::string bytes = data ? std::string(*data) : std::string();
  PointCloud cloud = [&] {
    const py::gil_scoped_release without_gil;
    if (!data) bytes = read_bytes(path, "a point cloud");
    return points_of_bytes(path.string(), bytes, extension, columns, &others);
  }();
  warn_of(cloud.notes, path);
  py::dict fields;
  for (const OtherField& other : others) {
    const auto rows = static_cast<py::ssize_t>(cloud.count()), several = static_cast<py::ssize_t>(other.several);
    const std::vector<py::ssize_t> shape = several == 1 ? std::vector{rows} : std::vector{rows, several};
    fields[py::str(other.name)] = py::array(dtype_of(other.type), shape, other.values.data());  // copies
  }
  return py::make_tuple(file_cloud(std::move(cloud)), fields);
}

Scalar scalar_of(const std::string& name, const py::dtype& dtype) {
  static const std::map<std::pair<char, py::ssize_t>, Scalar> scalars = {
      {{'b', 1}, Scalar::kU8},  {{'i', 1}, Scalar::kI8},  {{'u', 1}, Scalar::kU8},  {{'i', 2}, Scalar::kI16},
      {{'u', 2}, Scalar::kU16}, {{'i', 4}, Scalar::kI32}, {{'u', 4}, Scalar::kU32}, {{'i', 8}, Scalar::kI64},
      {{'u', 8}, Scalar::kU64}, {{'f', 2}, Scalar::kF16}, {{'f', 4}, Scalar::kF32}, {{'f', 8}, Scalar::kF64}};
  const auto found = scalars.find({dtype.kind(), dtype.itemsize()});
  check(found != scalars.end(), "[from_open3d] expected numbers as ", name, ", found ",
        std::string(py::str(static_cast<const py::handle&>(dtype))));
  return found->second;
}

/// One array [N] per field, in this machine's byte order, as of Open3D; columns [N, k] are put behind the fourth.
FileCloud cloud_of_arrays(const std::map<std::string, py::array>& arrays,
                          const std::optional<py::array_t<float, py::array::c_style | py::array::forcecast>>& columns) {
  const auto x = arrays.find("x");
  check(x != arrays.end() && x->second.ndim() == 1, "[from_open3d] expected positions [N, 3]");
  const std::int64_t n = x->second.shape(0);
  std::vector<Field> fields;
  for (const auto& [name, array] : arrays) {
    check(array.ndim() == 1 && array.shape(0) == n, "[from_open3d] expected ", n, " values of ", name,
          ", one per point, found ", array.size());
    fields.push_back({name, scalar_of(name, array.dtype()), static_cast<const char*>(array.data()), array.strides(0)});
  }
  PointCloud cloud = cloud_of_fields("[from_open3d]", fields, n);
  if (!columns) return file_cloud(std::move(cloud));
  check(columns->ndim() == 2 && columns->shape(0) == n, "[from_open3d] expected columns [", n, ", k]");
  const std::int64_t more = columns->shape(1);
  std::vector<float> points;
  points.reserve(static_cast<std::size_t>(n * (4 + more)));
  for (std::int64_t i = 0; i < n; ++i) {
    points.insert(points.end(), cloud.points.data() + 4 * i, cloud.points.data() + 4 * i + 4);
    points.insert(points.end(), columns->data() + more * i, columns->data() + more * (i + 1));
  }
  cloud.points = std::move(points);
  cloud.columns += more;
  return file_cloud(std::move(cloud));
}

constexpr const char* kPointCloudDoc = R"(The points of a file, made by read_points or from_open3d.)";

constexpr const char* kReadPointsDoc =
    R"(Reads a .bin, .npy, .ply or .pcd file of points, as the command `voxshift segment` does.

columns: float32 values per row of a .bin, 3 to 1024; unless given, 4 (KITTI), or what the values show, as 5 (nuScenes).
What is guessed is said in a UserWarning. Fields are known by their usual names, such as intensity or reflectivity for the
remission. Raises OSError for a file that is missing, cut or not what its name says.)";

py::tuple tuple_of(std::span<const std::string_view> names) {
  py::tuple tuple(names.size());
  for (std::size_t k = 0; k < names.size(); ++k) tuple[k] = names[k];
  return tuple;
}

py::dict field_names() {
  return py::dict("remission"_a = tuple_of(kRemissionNames), "rgb"_a = tuple_of(kPackedColourNames),
                  "label"_a = tuple_of(kLabelNames), "ring"_a = tuple_of(kRingNames), "time"_a = tuple_of(kTimeNames));
}

py::tuple colour_names() {
  py::list names;
  for (const auto& three : kColourNames) names.append(tuple_of(three));
  return py::tuple(names);
}

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
      .def("__len__", [](const FileCloud& c) { return py::len(c.points); })
      .def("__repr__", [](const FileCloud& c) {
        std::string text = "PointCloud(points=" + std::string(py::str(c.points.attr("shape")));
        if (c.has_remission) text += ", remission";
        for (const auto& [name, field] :
             {std::pair("rgb", c.rgb), {"label", c.label}, {"ring", c.ring}, {"time", c.time}})
          if (!field.is_none()) text += std::string(", ") + name;
        return text + ")";
      });
  pickle_by_fields(cloud, &FileCloud::points, &FileCloud::rgb, &FileCloud::label, &FileCloud::ring, &FileCloud::time,
                   &FileCloud::origin, &FileCloud::has_remission);
  m.def("read_points", &read, "path"_a, "columns"_a = py::none(), kReadPointsDoc);
  m.def("_read_points", &read_all, "path"_a, "extension"_a, "columns"_a = py::none(), "data"_a = py::none());
  m.attr("_FIELD_NAMES") = field_names();
  m.attr("_COLOUR_NAMES") = colour_names();
  m.def("_cloud_of_fields", &cloud_of_arrays, "fields"_a, "columns"_a = py::none());
}

}  // namespace voxshift::python
