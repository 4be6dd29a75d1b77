// Arrays of voxshift as arrays of Python and back, on the same memory: numpy's on the CPU, DeviceArray elsewhere.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace voxshift::python {

/// Whether array_from can take it: a numpy array, anything with __dlpack__ or __cuda_array_interface__, or a buffer.
bool is_array(pybind11::handle source);

/// Whether it is an array of bfloat16, by what it says of its dtype, which goes by DLPack alone.
bool is_bfloat(pybind11::handle source);

/// An Array on the memory of `source`, which it keeps alive; a copy only where `source` is on the CPU and not
/// contiguous in C order, aligned and of native byte order. Throws InvalidArgument for a dtype that Array lacks, and
/// for memory of a device that is neither the CPU nor CUDA.
Array array_from(pybind11::handle source);

/// The dtype of numpy's kind character and size, if Array has it.
std::optional<DType> dtype_of(char kind, std::int64_t bytes);

/// Throws InvalidArgument, which shows `found`.
[[noreturn]] void refuse_dtype(const std::string& found, const Shape& shape);
DType dtype_from(const pybind11::dtype& dtype, const Shape& shape);
pybind11::dtype dtype_to(DType dtype);

/// Keeps a Python object alive, whose memory nobody may write unless it is `writeable`.
std::shared_ptr<void> keep(pybind11::object object, bool writeable = true);

/// Throws InvalidArgument, which names `op`, unless the array is on the CPU.
const Array& on_cpu(const char* op, const Array& array);

/// Whole numbers i32 or i64 as i32, or as i64: a copy where they are the other. Other dtypes stay, for the op to
/// refuse. as_int32 throws InvalidArgument, which names `op` and `what`, for a number that 32 bits do not hold.
Array as_int32(const char* op, const char* what, const Array& array);
Array as_int64(const Array& array);

enum class Access { kReadOnly, kAsSource };

/// A numpy array, or a DeviceArray (also of bf16 on the CPU), on the memory of `array`, which it keeps alive. A numpy
/// array can be written unless `access` forbids it or the memory came from a Python object that forbade it.
pybind11::object array_to(const Array& array, Access access = Access::kAsSource);

/// A numpy array that takes over the values.
template <class T>
pybind11::array array_of(std::vector<T> values, const Shape& shape) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  T* const memory = owner->data();
  const pybind11::capsule base(owner.release(), [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  return pybind11::array(pybind11::dtype::of<T>(), shape, memory, base);
}

}  // namespace voxshift::python

namespace pybind11::detail {

/// Lets bound functions take and return voxshift::Array.
template <>
struct type_caster<voxshift::Array> {
  PYBIND11_TYPE_CASTER(voxshift::Array, const_name("numpy.ndarray"));

  bool load(handle source, bool /*convert*/) {
    if (!voxshift::python::is_array(source)) return false;
    value = voxshift::python::array_from(source);
    return true;
  }

  static handle cast(const voxshift::Array& array, return_value_policy, handle) {
    return voxshift::python::array_to(array).release();
  }
};

}  // namespace pybind11::detail
