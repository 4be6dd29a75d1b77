// Coordinates and SparseTensor.
#include <voxshift/tensor/sparse_tensor.h>

#include <cstring>
#include <utility>
#include <variant>

#include "arrays.h"
#include "bindings.h"
#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

/// Spatial axes of coords [N, 1 + D].
int dims_of(const char* op, const Array& coords) {
  check(coords.rank() == 2 && coords.dim(1) >= 2 && coords.dim(1) <= 1 + kMaxDimensions, "[", op,
        "] coords expects int32 or int64 [N, 1 + D] with D = 1..", kMaxDimensions, ", found ", name(coords.dtype()),
        " ", coords.shape());
  return static_cast<int>(coords.dim(1)) - 1;
}

Coordinates make_coordinates(const Array& coords, const Axes& stride, const std::optional<Axes>& shape) {
  const int dims = dims_of("Coordinates", coords);
  std::optional<Coordinates::Extents> extents;
  if (shape) extents = extents_of("Coordinates", "shape", *shape, dims);
  return Coordinates(as_int32("Coordinates", "coords", coords), extents_of("Coordinates", "stride", stride, dims),
                     extents);
}

SparseTensor make_tensor(const std::variant<Array, Coordinates>& given, const Array& feats, const Axes& stride,
                         const std::optional<Axes>& shape, const std::optional<std::string>& reduce) {
  if (const auto* coordinates = std::get_if<Coordinates>(&given)) {
    check(list_of(stride) == std::vector<std::int32_t>{1} && !shape && !reduce,
          "[SparseTensor] stride, shape and reduce belong to an array of coords; Coordinates have their own");
    return {*coordinates, feats};
  }
  const auto& coords = std::get<Array>(given);
  const int dims = dims_of("SparseTensor", coords);
  SparseTensor::Options options;
  options.stride = extents_of("SparseTensor", "stride", stride, dims);
  if (shape) options.shape = extents_of("SparseTensor", "shape", *shape, dims);
  options.reduce = reduce_of("SparseTensor", reduce);
  return {as_int32("SparseTensor", "coordinates", coords), feats, options};
}

py::tuple tuple_of(const Coordinates::Extents& extents, int dims) {
  py::tuple values(dims);
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) values[d] = extents[d];
  return values;
}

py::tuple stride_of(const Coordinates& x) { return tuple_of(x.stride(), x.dims()); }

std::optional<py::tuple> shape_of(const Coordinates& x) {
  return x.shape() ? std::optional(tuple_of(*x.shape(), x.dims())) : std::nullopt;
}

// Rows of `from` [.., C] at `rows` i32, all on the CPU.
Array rows_at(const Array& from, const Array& rows) {
  Array picked({rows.dim(0), from.dim(1)}, from.dtype());
  const std::size_t bytes = static_cast<std::size_t>(from.dim(1)) * size_of(from.dtype());
  auto* to = static_cast<std::byte*>(picked.memory());
  for (const std::int32_t row : rows.values<std::int32_t>()) {
    if (bytes > 0) std::memcpy(to, static_cast<const std::byte*>(from.memory()) + row * bytes, bytes);
    to += bytes;
  }
  return picked;
}

py::tuple state_of(const Coordinates& coordinates) {
  const Coordinates x = coordinates.to(Device::cpu());
  return py::make_tuple(x.coords(), x.inverse(), stride_of(x), shape_of(x), name(coordinates.device()));
}

py::tuple state_of(const SparseTensor& tensor) {
  const SparseTensor x = tensor.to(Device::cpu());
  return py::make_tuple(x.coords(), x.features(), x.inverse(), stride_of(x), shape_of(x), name(tensor.device()));
}

/// Extents that were pickled, of as many axes as coordinates [N, 1 + D] have.
Coordinates::Extents extents_from(const char* what, const py::object& pickled, const Array& coords) {
  return extents_of("pickle", what, pickled.cast<std::vector<std::int32_t>>(), static_cast<int>(coords.dim(1)) - 1);
}

/// Those that an op made have no inverse; rows in the order that an inverse tells give the same one again.
Coordinates from_state(const Array& coords, const Array& inverse, const py::object& stride, const py::object& shape) {
  const bool by_op = inverse.count() == 0;
  std::optional<Coordinates::Extents> extents;
  if (!shape.is_none()) extents = extents_from("shape", shape, coords);
  const Coordinates x(by_op ? coords : rows_at(coords, inverse), extents_from("stride", stride, coords), extents);
  return by_op ? Coordinates(x.map(), x.cache(), x.stride(), x.shape()) : x;
}

Coordinates coordinates_from_state(const py::tuple& state) {
  check(state.size() == 5, "[pickle] Coordinates expect 5 fields, found ", state.size());
  return from_state(state[0].cast<Array>(), state[1].cast<Array>(), state[2], state[3])
      .to(parse_device(state[4].cast<std::string>()));
}

SparseTensor tensor_from_state(const py::tuple& state) {
  check(state.size() == 6, "[pickle] a SparseTensor expects 6 fields, found ", state.size());
  const auto coords = state[0].cast<Array>(), feats = state[1].cast<Array>(), inverse = state[2].cast<Array>();
  const Device device = parse_device(state[5].cast<std::string>());
  const Coordinates x = from_state(coords, inverse, state[3], state[4]);
  if (inverse.count() == 0) return SparseTensor(x, feats).to(device);
  const SparseTensor::Options options{x.stride(), x.shape(), Reduce::kFirst};
  return SparseTensor(rows_at(coords, inverse), rows_at(feats, inverse), options).to(device);
}

std::string grid_text(const Coordinates& x) {
  const std::string shape = x.shape() ? ", shape=" + std::string(py::str(*shape_of(x))) : "";
  return "dims=" + std::to_string(x.dims()) + ", stride=" + std::string(py::str(stride_of(x))) + shape + ")";
}

std::string repr(const Coordinates& x) { return "Coordinates(size=" + std::to_string(x.size()) + ", " + grid_text(x); }

std::string repr(const SparseTensor& x) {
  return "SparseTensor(size=" + std::to_string(x.size()) + ", channels=" + std::to_string(x.channels()) + ", " +
         grid_text(x);
}

py::object as_numpy(const Coordinates& x, const py::object& dtype, const py::object& copy) {
  const py::object view = array_to(x.coords().to(Device::cpu()), Access::kReadOnly);
  const bool copied = !copy.is_none() && copy.cast<bool>();
  return py::module_::import("numpy").attr(copied ? "array" : "asarray")(view, dtype);
}

constexpr const char* kCoordinatesDoc = R"(A set of grid cells that tensors lie on.

Rows are unique and in lexicographic order, batch first. Tensors on one set share it, and the kernel maps that are made
between it and others. numpy.asarray gives coords. A deep copy and what was pickled share neither with it.)";

constexpr const char* kCoordinatesInitDoc = R"(The cells that occur among coords [N, 1 + D].

coords: int32 (int64 is converted), batch index first, D = 1..4, in units of their own grid, in any order; `inverse` tells
    the row of each.
stride: size of a grid cell in cells of the network's input, one number or one per axis.
shape: extent per axis in cells of this grid; bounded convolutions and to_dense need it.

Raises ValueError for another dtype or shape, a negative batch index and coordinates outside shape.)";

constexpr const char* kSparseTensorDoc = R"(Coordinates, and one row of features per coordinate.

Rows are unique and in lexicographic order of the coordinates, batch first. Tensors that ops make from one another share
their coordinates and the kernel maps between them. A deep copy and what was pickled share neither with it.)";

constexpr const char* kInitDoc = R"(A tensor of coords [N, 1 + D] and feats [N, C].

coords: Coordinates, with feats in the order of their rows and nothing else given. Or int32 (int64 is converted), batch index first, D = 1..4, in units of their own grid.
feats: float32, float16 or bfloat16. Arrays are numpy's, torch's or any with __dlpack__ or a buffer. Where the rows are in order and unique,
    feats is used in place; otherwise a sorted copy is made and `inverse` tells where each row went.
stride: size of a grid cell in cells of the network's input, one number or one per axis.
shape: extent per axis in cells of this grid; bounded convolutions and to_dense need it.
reduce: what becomes of the features of repeated coordinates, "first", "sum", "mean" or "max", in input order.

Raises ValueError for another dtype or shape, a negative batch index, coordinates outside shape, and repeated
coordinates without reduce.)";

/// What coordinates and tensors on them have in common.
template <class Class>
void bind_grid(py::class_<Class>& type) {
  type.def_property_readonly(
          "coords", [](const Class& x) { return array_to(x.coords(), Access::kReadOnly); },
          "int32 [N, 1 + D], batch first. Read-only: other tensors share it.")
      .def_property_readonly(
          "inverse", [](const Class& x) { return array_to(x.inverse()); },
          "int32 [rows given to the constructor]: the row each became. Empty for what ops made.")
      .def_property_readonly(
          "stride", [](const Class& x) { return stride_of(x); },
          "Size of a grid cell per axis, in cells of the network's input.")
      .def_property_readonly(
          "shape", [](const Class& x) { return shape_of(x); }, "Extent per axis in cells of this grid, or None.")
      .def_property_readonly("size", &Class::size, "Number of rows N.")
      .def_property_readonly("dims", &Class::dims, "Number of spatial axes D.")
      .def_property_readonly(
          "device", [](const Class& x) { return name(x.device()); }, "Where the rows live, such as \"cpu\".")
      .def(
          "to", [](const Class& x, const std::string& device) { return x.to(parse_device(device)); }, "device"_a,
          WithoutGil(),
          "A copy on device \"cpu\", \"cuda\" or \"cuda:1\" with its kernel maps still to be made, or the object\n"
          "itself where it is there. Raises BackendUnavailable, OutOfMemory.")
      .def(
          "find",
          [](const Class& x, const Array& coords) { return x.map()->find(as_int32("find", "coordinates", coords)); },
          "coords"_a, WithoutGil(),
          "int32 [M]: the rows of coords int32 or int64 [M, 1 + D], -1 where a coordinate is not present.")
      .def(
          "same_coordinates",
          [](const Class& x, const AnyCoordinates& other) { return x.map()->same_as(*coordinates_of(other).map()); },
          "other"_a.none(false), WithoutGil(),
          "Whether both, Coordinates or SparseTensors, have the same coordinates on the same device. Costs nothing\n"
          "where one was made of the other and shares them; else the numbers are compared.")
      .def("__len__", &Class::size)
      .def("__repr__", [](const Class& x) { return repr(x); })
      .def("__copy__", [](const Class& x) { return x; });
}

}  // namespace

void bind_tensors(py::module_& m) {
  py::class_<Coordinates> coordinates(m, "Coordinates", kCoordinatesDoc);
  coordinates
      .def(py::init(&make_coordinates), "coords"_a, "stride"_a = 1, "shape"_a = py::none(), WithoutGil(),
           kCoordinatesInitDoc)
      .def("__array__", &as_numpy, "dtype"_a = py::none(), "copy"_a = py::none(), "numpy's view of coords.")
      .def(py::pickle([](const Coordinates& x) { return state_of(x); }, &coordinates_from_state));
  py::class_<SparseTensor> tensor(m, "SparseTensor", kSparseTensorDoc);  // of which signatures of Coordinates tell
  bind_grid(coordinates);
  tensor
      .def(py::init(&make_tensor), "coords"_a, "feats"_a, "stride"_a = 1, "shape"_a = py::none(),
           "reduce"_a = py::none(), WithoutGil(), kInitDoc)
      .def_property_readonly(
          "coordinates", [](const SparseTensor& x) { return x.coordinates(); },
          "The Coordinates that the tensor shares with others.")
      .def_property_readonly(
          "feats", [](const SparseTensor& x) { return array_to(x.features()); },
          "[N, C], float32, float16 or bfloat16, on the tensor's memory.")
      .def_property_readonly(
          "features", [](const SparseTensor& x) { return array_to(x.features()); }, "The same as feats.")
      .def_property_readonly("channels", &SparseTensor::channels, "Number of features C of a row.")
      .def("with_features", &SparseTensor::with_features, "features"_a, WithoutGil(),
           "The same coordinates with features [N, C'], which are not copied. Raises ValueError for another\n"
           "dtype or shape.")
      .def(py::pickle([](const SparseTensor& x) { return state_of(x); }, &tensor_from_state));
  bind_grid(tensor);
}

}  // namespace voxshift::python
