// SparseTensor.
#include <voxshift/tensor/sparse_tensor.h>

#include <limits>

#include "arrays.h"
#include "bindings.h"
#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

// Coordinates as i32: i64 ones are copied, others are left to the op that checks them.
Array coordinates(const char* op, const Array& coords) {
  if (coords.dtype() != DType::kI64) return coords;
  check(coords.device() == Device::cpu(), "[", op, "] coordinates on ", name(coords.device()),
        " have to be int32, found int64; convert them first, for instance with .int()");
  using Limits = std::numeric_limits<std::int32_t>;
  Array narrow(coords.shape(), DType::kI32);
  auto* out = narrow.data<std::int32_t>();
  for (const std::int64_t c : coords.values<std::int64_t>()) {
    check(c >= Limits::min() && c <= Limits::max(), "[", op, "] coordinates must fit 32 bits, found ", c);
    *out++ = static_cast<std::int32_t>(c);
  }
  return narrow;
}

SparseTensor make_tensor(const Array& coords, const Array& feats, const Axes& stride, const std::optional<Axes>& shape,
                         const std::optional<std::string>& reduce) {
  check(coords.rank() == 2 && coords.dim(1) >= 2 && coords.dim(1) <= 1 + kMaxDimensions,
        "[SparseTensor] coords expects int32 or int64 [N, 1 + D] with D = 1..", kMaxDimensions, ", found ",
        name(coords.dtype()), " ", to_string(coords.shape()));
  const int dims = static_cast<int>(coords.dim(1)) - 1;
  SparseTensor::Options options;
  options.stride = extents_of("SparseTensor", "stride", stride, dims);
  if (shape) options.shape = extents_of("SparseTensor", "shape", *shape, dims);
  options.reduce = reduce_of("SparseTensor", reduce);
  return {coordinates("SparseTensor", coords), feats, options};
}

Array find(const SparseTensor& x, const Array& coords) { return x.map()->find(coordinates("find", coords)); }

py::tuple tuple_of(const SparseTensor::Extents& extents, int dims) {
  py::tuple values(dims);
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) values[d] = extents[d];
  return values;
}

py::tuple stride_of(const SparseTensor& x) { return tuple_of(x.stride(), x.dims()); }

std::optional<py::tuple> shape_of(const SparseTensor& x) {
  return x.shape() ? std::optional(tuple_of(*x.shape(), x.dims())) : std::nullopt;
}

std::string repr(const SparseTensor& x) {
  const std::string shape = x.shape() ? ", shape=" + std::string(py::str(*shape_of(x))) : "";
  return "SparseTensor(size=" + std::to_string(x.size()) + ", channels=" + std::to_string(x.channels()) +
         ", dims=" + std::to_string(x.dims()) + ", stride=" + std::string(py::str(stride_of(x))) + shape + ")";
}

constexpr const char* kSparseTensorDoc = R"(Coordinates, and one row of features per coordinate.

Rows are unique and in lexicographic order of the coordinates, batch first. Tensors that ops make from one another share
their coordinates and the kernel maps between them.)";

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
      .def("__len__", &SparseTensor::size)
      .def("__repr__", &repr);
}

}  // namespace voxshift::python
