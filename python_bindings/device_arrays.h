// Arrays on a CUDA device, as Python libraries hand them over: __cuda_array_interface__ and DLPack.
#pragma once

#include <pybind11/pybind11.h>
#include <voxshift/tensor/array.h>

#include <optional>

namespace voxshift::python {

/// An array on a CUDA device as Python sees it, or one of bf16, which numpy has not, anywhere.
struct DeviceArray {
  Array array;
};

/// The device of an object that another library, or this one, has put on a CUDA device.
std::optional<Device> cuda_device_of(pybind11::handle source);

/// An Array on the memory of such an object, which it keeps alive. The calling thread's work goes to the stream of the
/// object from then on: torch's current one, or that of the interface. Throws InvalidArgument for a dtype that Array
/// lacks and for memory that is not contiguous in C order.
Array device_array_from(pybind11::handle source, Device device);

}  // namespace voxshift::python
