// SparseTensor.
#include <voxshift/tensor/sparse_tensor.h>

#include <cstring>

#include "arrays.h"
#include "bindings.h"
#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

SparseTensor make_tensor(const Array& coords, const Array& feats, const Axes& stride, const std::optional<Axes>& shape,
                         const std::optional<std::string>& reduce) {
  check(coords.rank() == 2 && coords.dim(1) >= 2 && coords.dim(1) <= 1 + kMaxDimensions,
        "[SparseTensor] coords expects int32 or int64 [N, 1 + D] with D = 1..", kMaxDimensions, ", found ",
        name(coords.dtype()), " ", coords.shape());
  const int dims = static_cast<int>(coords.dim(1)) - 1;
  SparseTensor::Options options;
  options.stride = extents_of("SparseTensor", "stride", stride, dims);
  if (shape) options.shape = extents_of("SparseTensor", "shape", *shape, dims);
  options.reduce = reduce_of("SparseTensor", reduce);
  return {as_int32("SparseTensor", "coordinates", coords), feats, options};
}

Array find(const SparseTensor& x, const Array& coords) {
  return x.map()->find(as_int32("find", "coordinates", coords));
}

py::tuple tuple_of(const SparseTensor::Extents& extents, int dims) {
  py::tuple values(dims);
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) values[d] = extents[d];
  return values;
}

py::tuple stride_of(const SparseTensor& x) { return tuple_of(x.stride(), x.dims()); }

std::optional<py::tuple> shape_of(const SparseTensor& x) {
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

py::tuple state_of(const SparseTensor& tensor) {
  const SparseTensor x = tensor.to(Device::cpu());
  return py::make_tuple(x.coords(), x.features(), x.inverse(), stride_of(x), shape_of(x), name(tensor.device()));
}

// The rows in the order that `inverse` tells give the same tensor and the same inverse.
SparseTensor from_state(const py::tuple& state) {
  check(state.size() == 6, "[pickle] a SparseTensor expects 6 fields, found ", state.size());
  const auto coords = state[0].cast<Array>(), feats = state[1].cast<Array>(), inverse = state[2].cast<Array>();
  const auto axes = [&](std::size_t i) {
    return extents_of("pickle", "stride", state[i].cast<std::vector<std::int32_t>>(),
                      static_cast<int>(coords.dim(1)) - 1);
  };
  SparseTensor::Options options;
  options.stride = axes(3);
  options.reduce = Reduce::kFirst;
  if (!state[4].is_none()) options.shape = axes(4);
  const bool by_op = inverse.count() == 0;
  const SparseTensor x(by_op ? coords : rows_at(coords, inverse), by_op ? feats : rows_at(feats, inverse), options);
  return (by_op ? x.with_features(x.features()) : x).to(parse_device(state[5].cast<std::string>()));
}

std::string repr(const SparseTensor& x) {
  const std::string shape = x.shape() ? ", shape=" + std::string(py::str(*shape_of(x))) : "";
  return "SparseTensor(size=" + std::to_string(x.size()) + ", channels=" + std::to_string(x.channels()) +
         ", dims=" + std::to_string(x.dims()) + ", stride=" + std::string(py::str(stride_of(x))) + shape + ")";
}

constexpr const char* kSparseTensorDoc = R"(Coordinates, and one row of features per coordinate.

Rows are unique and in lexicographic order of the coordinates, batch first. Tensors that ops make from one another share
their coordinates and the kernel maps between them. A deep copy and what was pickled share neither with it.)";

constexpr const char* kInitDoc = R"(A tensor of coords [N, 1 + D] and feats float32 [N, C].

coords: int32 (int64 is converted), batch index first, D = 1..4, in units of their own grid.
feats: float32. Arrays are numpy's, torch's or any with __dlpack__ or a buffer. Where the rows are in order and unique,
    feats is used in place; otherwise a sorted copy is made and `inverse` tells where each row went.
stride: size of a grid cell in cells of the network's input, one number or one per axis.
shape: extent per axis in cells of this grid; bounded convolutions and to_dense need it.
reduce: what becomes of the features of repeated coordinates, "first", "sum", "mean" or "max", in input order.

Raises ValueError for another dtype or shape, a negative batch index, coordinates outside shape, and repeated
coordinates without reduce.)";

}  // namespace

void bind_tensors(py::module_& m) {
  py::class_<SparseTensor>(m, "SparseTensor", kSparseTensorDoc)
      .def(py::init(&make_tensor), "coords"_a, "feats"_a, "stride"_a = 1, "shape"_a = py::none(),
           "reduce"_a = py::none(), WithoutGil(), kInitDoc)
      .def_property_readonly(
          "coords", [](const SparseTensor& x) { return array_to(x.coords(), Access::kReadOnly); },
          "int32 [N, 1 + D], batch first. Read-only: other tensors share it.")
      .def_property_readonly(
          "feats", [](const SparseTensor& x) { return array_to(x.features()); },
          "float32 [N, C], on the tensor's memory.")
      .def_property_readonly(
          "features", [](const SparseTensor& x) { return array_to(x.features()); }, "The same as feats.")
      .def_property_readonly(
          "inverse", [](const SparseTensor& x) { return array_to(x.inverse()); },
          "int32 [rows given to the constructor]: the row each became. Empty for tensors that ops made.")
      .def_property_readonly("stride", &stride_of, "Size of a grid cell per axis, in cells of the network's input.")
      .def_property_readonly("shape", &shape_of, "Extent per axis in cells of this grid, or None.")
      .def_property_readonly("size", &SparseTensor::size, "Number of rows N.")
      .def_property_readonly("channels", &SparseTensor::channels, "Number of features C of a row.")
      .def_property_readonly("dims", &SparseTensor::dims, "Number of spatial axes D.")
      .def_property_readonly(
          "device", [](const SparseTensor& x) { return name(x.device()); }, "Where the tensor lives, such as \"cpu\".")
      .def(
          "to", [](const SparseTensor& x, const std::string& device) { return x.to(parse_device(device)); }, "device"_a,
          WithoutGil(),
          "A copy on device \"cpu\", \"cuda\" or \"cuda:1\" with its kernel maps still to be made, or the tensor "
          "itself\n"
          "where it is there. Raises BackendUnavailable, OutOfMemory.")
      .def("with_features", &SparseTensor::with_features, "features"_a, WithoutGil(),
           "The same coordinates with features float32 [N, C'], which are not copied. Raises ValueError for another\n"
           "dtype or shape.")
      .def("find", &find, "coords"_a, WithoutGil(),
           "int32 [M]: the rows of coords int32 or int64 [M, 1 + D], -1 where a coordinate is not present.")
      .def(
          "same_coordinates",
          [](const SparseTensor& x, const SparseTensor& other) { return x.map()->same_as(*other.map()); }, "other"_a,
          WithoutGil(),
          "Whether both have the same coordinates on the same device. Costs nothing where one was made of the other\n"
          "and shares them; else the numbers are compared.")
      .def("__len__", &SparseTensor::size)
      .def("__repr__", &repr)
      .def("__copy__", [](const SparseTensor& x) { return x; })
      .def(py::pickle(&state_of, &from_state));
}

}  // namespace voxshift::python
