// Tensors of DLPack, by the layout of its specification (dmlc.github.io/dlpack, DLManagedTensor).
#pragma once

#include <pybind11/numpy.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <memory>

namespace voxshift::python {

// DLDeviceType
constexpr int kDlpackCpu = 1, kDlpackCuda = 2, kDlpackCudaHost = 3, kDlpackCudaManaged = 13;

struct DlpackType {
  enum Code : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct DlpackView {
  void* data;
  std::int32_t device_type, device_index;
  std::int32_t axes;
  DlpackType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: contiguous in C order
  std::uint64_t byte_offset;
};

struct DlpackTensor {
  DlpackView view;
  void* owner;
  void (*deleter)(DlpackTensor*);
};

/// The tensor of a capsule that nobody has taken yet; its owner is told when it is no longer used.
std::shared_ptr<DlpackTensor> take_dlpack(const pybind11::capsule& capsule);

/// Throws InvalidArgument where Array has none.
DType dtype_from(DlpackType type, const Shape& shape);

/// The array of a tensor on `device`, whose memory is contiguous in C order.
Array array_on(const std::shared_ptr<DlpackTensor>& tensor, Device device);

/// A capsule that keeps the array's memory alive.
pybind11::capsule give_dlpack(const Array& array);

}  // namespace voxshift::python
