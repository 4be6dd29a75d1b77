#include "arrays.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "device_arrays.h"
#include "dlpack.h"

namespace py = pybind11;

namespace voxshift::python {
namespace {

struct NumpyType {
  char kind;
  py::ssize_t bytes;
  DType dtype;
};

// Arrays come out as the first entry of their dtype.
constexpr NumpyType kNumpyTypes[] = {{'f', 4, DType::kF32}, {'f', 2, DType::kF16}, {'i', 8, DType::kI64},
                                     {'i', 4, DType::kI32}, {'i', 1, DType::kI8},  {'u', 1, DType::kU8},
                                     {'b', 1, DType::kU8}};

void check_on_cpu(py::handle source) {
  if (!py::hasattr(source, "__dlpack_device__")) return;
  const auto device = source.attr("__dlpack_device__")().cast<py::tuple>();
  const int kind = py::int_(device[0]);
  check(kind == kDlpackCpu || kind == kDlpackCudaHost,
        "[array] expected memory of the CPU or of CUDA, found DLPack device type ", kind,
        "; copy it there first, for instance with .cpu()");
}

py::array numpy_view(py::handle source) {
  if (py::isinstance<py::array>(source)) return py::reinterpret_borrow<py::array>(source);
  const auto numpy = py::module_::import("numpy");
  if (!py::hasattr(source, "__dlpack__")) return numpy.attr("asarray")(source);
  check_on_cpu(source);
  try {
    return numpy.attr("from_dlpack")(source);
  } catch (const py::error_already_set&) {
    // What DLPack cannot say (torch 1.13: bool), torch and others say by __array__, on the same memory.
    if (!py::hasattr(source, "__array__")) throw;
  }
  return numpy.attr("asarray")(source);
}

// Of the CPU, by DLPack: numpy has no bf16.
Array bfloats_from(py::handle source) {
  check_on_cpu(source);
  const std::shared_ptr<DlpackTensor> tensor = take_dlpack(source.attr("__dlpack__")());
  const DlpackView& view = tensor->view;
  std::int64_t expected = 1;
  for (std::int32_t axis = view.axes; axis-- > 0 && view.strides != nullptr; expected *= view.shape[axis])
    check(view.shape[axis] <= 1 || view.strides[axis] == expected,
          "[array] bfloat16 has to be contiguous in C order; make it so first, for instance with .contiguous()");
  return array_on(tensor, Device::cpu());
}

// Deleter of owners that are Python objects.
struct ReleaseObject {
  bool writeable;

  void operator()(void* object) const {
    const py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(object));
  }
};

}  // namespace

std::optional<DType> dtype_of(char kind, std::int64_t bytes) {
  for (const NumpyType& type : kNumpyTypes)
    if (type.kind == kind && type.bytes == bytes) return type.dtype;
  return std::nullopt;
}

void refuse_dtype(const std::string& found, const Shape& shape) {
  throw InvalidArgument("[array] expected float32, float16, int64, int32, int8, uint8 or bool, found " + found + " " +
                        to_string(shape) + "; convert it first, for instance with .astype(numpy.float32)");
}

DType dtype_from(const py::dtype& dtype, const Shape& shape) {
  const auto known = dtype_of(dtype.kind(), dtype.itemsize());
  if (!known) refuse_dtype(py::str(static_cast<const py::object&>(dtype)), shape);
  return *known;
}

py::dtype dtype_to(DType dtype) {
  for (const NumpyType& type : kNumpyTypes)
    if (type.dtype == dtype) return py::dtype(std::string(1, type.kind) + std::to_string(type.bytes));
  throw InvalidArgument(std::string("[array] numpy has no dtype ") + name(dtype));
}

std::shared_ptr<void> keep(py::object object, bool writeable) {
  return {object.release().ptr(), ReleaseObject{writeable}};
}

const Array& on_cpu(const char* op, const Array& array) {
  check(array.device() == Device::cpu(), "[", op, "] expects an array on the CPU, found one on ", name(array.device()),
        "; copy it there first, for instance with .numpy()");
  return array;
}

Array as_int32(const char* op, const char* what, const Array& array) {
  if (array.dtype() != DType::kI64) return array;
  using Limits = std::numeric_limits<std::int32_t>;
  const Array wide = array.to(Device::cpu());
  Array narrow(array.shape(), DType::kI32);
  auto* out = narrow.data<std::int32_t>();
  for (const std::int64_t value : wide.values<std::int64_t>()) {
    check(value >= Limits::min() && value <= Limits::max(), "[", op, "] ", what, " must fit 32 bits, found ", value);
    *out++ = static_cast<std::int32_t>(value);
  }
  return narrow.to(array.device());
}

Array as_int64(const Array& array) {
  if (array.dtype() != DType::kI32) return array;
  const Array narrow = array.to(Device::cpu());
  Array wide(array.shape(), DType::kI64);
  std::ranges::copy(narrow.values<std::int32_t>(), wide.data<std::int64_t>());
  return wide.to(array.device());
}

bool is_array(py::handle source) {
  return py::isinstance<py::array>(source) || py::hasattr(source, "__dlpack__") || py::isinstance<py::buffer>(source) ||
         cuda_device_of(source).has_value();
}

bool is_bfloat(py::handle source) {
  return !py::isinstance<py::array>(source) && py::hasattr(source, "__dlpack__") && py::hasattr(source, "dtype") &&
         std::string(py::str(source.attr("dtype"))).ends_with("bfloat16");
}

Array array_from(py::handle source) {
  if (py::isinstance<DeviceArray>(source)) return source.cast<const DeviceArray&>().array;
  if (const auto device = cuda_device_of(source)) return device_array_from(source, *device);
  if (is_bfloat(source)) return bfloats_from(source);
  const py::array view = numpy_view(source);
  const DType dtype = dtype_from(view.dtype(), Shape(view.shape(), view.shape() + view.ndim()));
  const py::object native = view.dtype().attr("newbyteorder")("=");
  py::array array = py::module_::import("numpy").attr("require")(view, native, "CA");
  Shape shape(array.shape(), array.shape() + array.ndim());
  const bool writeable = array.writeable();
  void* const memory = const_cast<void*>(array.data());  // written by nobody where it is not writeable
  return {memory, std::move(shape), dtype, Device::cpu(), keep(std::move(array), writeable)};
}

py::object array_to(const Array& array, Access access) {
  if (array.device() != Device::cpu() || array.dtype() == DType::kBF16) return py::cast(DeviceArray{array});
  auto owner = std::make_unique<std::shared_ptr<void>>(array.owner());
  const py::capsule base(owner.release(), [](void* shared) { delete static_cast<std::shared_ptr<void>*>(shared); });
  py::array view(dtype_to(array.dtype()), array.shape(), array.memory(), base);
  const auto* python = std::get_deleter<ReleaseObject>(array.owner());
  if (access == Access::kReadOnly || (python != nullptr && !python->writeable))
    view.attr("setflags")(py::arg("write") = false);
  return view;
}

}  // namespace voxshift::python
