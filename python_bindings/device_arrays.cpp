#include "device_arrays.h"

#include <pybind11/stl.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "dlpack.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

constexpr const char* kInterface = "__cuda_array_interface__";

void* pointer_from(py::handle number) {
  void* const pointer = PyLong_AsVoidPtr(number.ptr());
  if (pointer == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return pointer;
}

// Stream handles of Python protocols: 1 is the legacy default stream, which is null here.
void* stream_from(py::handle number) {
  void* const stream = pointer_from(number);
  return reinterpret_cast<std::uintptr_t>(stream) <= 1 ? nullptr : stream;
}
std::uintptr_t handle_of(void* stream) { return stream == nullptr ? 1 : reinterpret_cast<std::uintptr_t>(stream); }

void* stream_of_thread(Device device) {
  void* const stream = runtime(device).use_stream(device, nullptr);
  runtime(device).use_stream(device, stream);
  return stream;
}

// The calling thread goes on on `stream`, after what it has queued before.
void go_on_at(Device device, void* stream) {
  void* const before = runtime(device).use_stream(device, stream);
  if (before != stream) runtime(device).wait_for(device, before);
}

// `stream` goes on after what the calling thread has queued.
void let_wait(Device device, void* stream) {
  void* const before = stream_of_thread(device);
  go_on_at(device, stream);
  runtime(device).use_stream(device, before);
}

// Strides in elements, none for contiguous memory. Kernels read 16 bytes at a time.
void check_layout(const void* memory, const Shape& shape, const std::vector<std::int64_t>& strides) {
  if (count_of(shape) == 0) return;
  check(reinterpret_cast<std::uintptr_t>(memory) % 16 == 0,
        "[array] memory of a CUDA device has to be aligned to 16 bytes; copy it first, for instance with .clone()");
  if (strides.empty()) return;
  std::int64_t expected = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    check(shape[d] <= 1 || strides[d] == expected,
          "[array] memory of a CUDA device has to be contiguous in C order; make it so first, for instance with "
          ".contiguous()");
    expected *= shape[d];
  }
}

// torch leaves its stream out of the interface.
py::object torch_stream(py::handle source, Device device) {
  if (!py::module_::import("sys").attr("modules").contains("torch")) return py::none();
  const auto torch = py::module_::import("torch");
  if (!py::isinstance(source, torch.attr("Tensor"))) return py::none();
  return torch.attr("cuda").attr("current_stream")(device.index).attr("cuda_stream");
}

// __cuda_array_interface__, version 3 (numba.readthedocs.io, "CUDA Array Interface").
Array from_interface(py::handle source, Device device) {
  const py::dict interface = source.attr(kInterface);
  const auto shape = interface["shape"].cast<Shape>();
  const DType dtype = dtype_from(py::dtype::from_args(interface["typestr"]), shape);
  void* const memory = pointer_from(py::tuple(interface["data"])[0]);
  std::vector<std::int64_t> strides;
  if (interface.contains("strides") && !interface["strides"].is_none())
    strides = interface["strides"].cast<std::vector<std::int64_t>>();
  for (std::int64_t& stride : strides) stride /= static_cast<std::int64_t>(size_of(dtype));
  check_layout(memory, shape, strides);
  py::object stream = interface.contains("stream") ? py::object(interface["stream"]) : py::none();
  if (stream.is_none()) stream = torch_stream(source, device);
  if (!stream.is_none()) go_on_at(device, stream_from(stream));
  return {memory, shape, dtype, device, keep(py::reinterpret_borrow<py::object>(source))};
}

Array from_dlpack(py::handle source, Device device) {
  const py::capsule capsule = source.attr("__dlpack__")("stream"_a = handle_of(stream_of_thread(device)));
  const std::shared_ptr<DlpackTensor> tensor = take_dlpack(capsule);
  const DlpackView& view = tensor->view;
  std::vector<std::int64_t> strides;
  if (view.strides != nullptr) strides.assign(view.strides, view.strides + view.axes);
  Array array = array_on(tensor, device);
  check_layout(array.memory(), array.shape(), strides);
  return array;
}

py::object shown_dtype(const DeviceArray& x) {
  if (x.array.dtype() == DType::kBF16) return py::str("bfloat16");
  return dtype_to(x.array.dtype());
}

// Consumers look for the interface first: what it cannot say is not there.
py::dict interface_of(const DeviceArray& x) {
  const Array& a = x.array;
  if (a.dtype() == DType::kBF16 || a.device() == Device::cpu())
    throw py::attribute_error("bfloat16 and memory of the CPU go by DLPack");
  return py::dict("shape"_a = py::tuple(py::cast(a.shape())), "typestr"_a = dtype_to(a.dtype()).attr("str"),
                  "data"_a = py::make_tuple(reinterpret_cast<std::uintptr_t>(a.memory()), false),
                  "strides"_a = py::none(), "stream"_a = handle_of(stream_of_thread(a.device())), "version"_a = 3);
}

// stream: of the consumer, None for the default one, -1 where it wants no order.
py::capsule dlpack_of(const DeviceArray& x, const py::object& stream, const py::kwargs&) {
  if (x.array.device() == Device::cpu()) {
    // nothing is queued there
  } else if (stream.is_none()) {
    let_wait(x.array.device(), nullptr);
  } else if (!stream.equal(py::int_(-1))) {
    let_wait(x.array.device(), stream_from(stream));
  }
  return give_dlpack(x.array);
}

py::object to_device(const Array& array, const std::string& device) {
  const Array there = [&] {
    const py::gil_scoped_release without_gil;
    return array.to(parse_device(device));
  }();
  return array_to(there);
}

py::object numpy_of(const DeviceArray& x) {
  (void)dtype_to(x.array.dtype());  // throws for what numpy has not
  return to_device(x.array, "cpu");
}

void synchronize(const std::string& device) { runtime(parse_device(device)).synchronize(parse_device(device)); }

constexpr const char* kDeviceArrayDoc =
    R"(An array in the memory of a CUDA device, as ops on one return it, or of bfloat16 on the CPU.

Ops take it as it is; torch.from_dlpack, torch.as_tensor and cupy.asarray make arrays of theirs on the same memory. Work is
only queued: on torch's current stream once a torch tensor went in, on the stream in the __cuda_array_interface__ of
other libraries' arrays, on the default stream before that. numpy() and synchronize() wait for it. row_splits of ops stay
on the CPU.)";

constexpr const char* kToDeviceDoc = R"(x on device "cpu" or "cuda" ("cuda:1", ...): a numpy array, or a DeviceArray.

x: a numpy array, a DeviceArray, torch tensor or any with __dlpack__, __cuda_array_interface__ or a buffer, of dtype
float32, float16, bfloat16 (a DeviceArray on the CPU, too), int64, int32, int8, uint8 or bool (uint8 on a device). A copy, but where x is there already. Raises
ValueError, BackendUnavailable, OutOfMemory.)";

}  // namespace

std::optional<Device> cuda_device_of(py::handle source) {
  if (py::isinstance<DeviceArray>(source)) {
    const Device device = source.cast<const DeviceArray&>().array.device();
    return device == Device::cpu() ? std::nullopt : std::optional(device);
  }
  if (py::hasattr(source, "__dlpack_device__")) {
    const auto [kind, index] = source.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    if (kind == kDlpackCuda || kind == kDlpackCudaManaged) return Device::cuda(index);
    return std::nullopt;
  }
  if (py::hasattr(source, kInterface)) return Device::cuda();
  return std::nullopt;
}

Array device_array_from(py::handle source, Device device) {
  if (py::isinstance<DeviceArray>(source)) return source.cast<const DeviceArray&>().array;
  check<BackendUnavailable>(runtime(device).available(device), "[array] memory of ", name(device),
                            ", which this build or machine of voxshift has not; copy it to the CPU, for instance with "
                            ".cpu()");
  const bool by_interface = !is_bfloat(source) && py::hasattr(source, kInterface);  // which has no bf16
  return by_interface ? from_interface(source, device) : from_dlpack(source, device);
}

void bind_device_arrays(py::module_& m) {
  py::class_<DeviceArray>(m, "DeviceArray", kDeviceArrayDoc)
      .def_property_readonly(
          "shape", [](const DeviceArray& x) { return py::tuple(py::cast(x.array.shape())); }, "tuple of int.")
      .def_property_readonly("dtype", &shown_dtype, "numpy.dtype, or \"bfloat16\", which numpy has not.")
      .def_property_readonly(
          "device", [](const DeviceArray& x) { return name(x.array.device()); }, "Such as \"cuda:0\".")
      .def("numpy", &numpy_of,
           "A copy as a numpy array. Waits for the work that makes it. Raises ValueError for bfloat16.")
      .def_property_readonly(kInterface, &interface_of)
      .def("__dlpack__", &dlpack_of, "stream"_a = py::none())
      .def("__dlpack_device__",
           [](const DeviceArray& x) {
             const bool cpu = x.array.device() == Device::cpu();
             return py::make_tuple(cpu ? kDlpackCpu : kDlpackCuda, x.array.device().index);
           })
      .def("__array__",
           [](const DeviceArray& x, const py::args&, const py::kwargs&) -> py::object {
             throw py::type_error("an array on " + name(x.array.device()) + " is not numpy's to read: call .numpy()");
           })
      .def("__len__",
           [](const DeviceArray& x) {
             if (x.array.rank() == 0) throw py::type_error("len() of an array without axes");
             return x.array.dim(0);
           })
      .def(py::pickle([](const DeviceArray& x) { return py::make_tuple(numpy_of(x), name(x.array.device())); },
                      [](const py::tuple& state) {
                        return DeviceArray{state[0].cast<Array>().to(parse_device(state[1].cast<std::string>()))};
                      }))
      .def("__repr__", [](const DeviceArray& x) {
        return "DeviceArray(shape=" + std::string(py::str(py::tuple(py::cast(x.array.shape())))) +
               ", dtype=" + std::string(py::str(shown_dtype(x))) + ", device=\"" + name(x.array.device()) + "\")";
      });
  m.def("to_device", &to_device, "x"_a, "device"_a = "cuda", kToDeviceDoc);
  m.def("synchronize", &synchronize, "device"_a = "cuda", WithoutGil(),
        "Waits for what this thread has queued on the device. Raises DeviceError where some of it failed.");
}

}  // namespace voxshift::python
