#include "dlpack.h"

#include <string>
#include <utility>

#include "arrays.h"

namespace py = pybind11;

namespace voxshift::python {
namespace {

constexpr const char* kFresh = "dltensor";
constexpr const char* kTaken = "used_dltensor";

struct Given {
  Array array;
  Shape shape;
  DlpackTensor tensor;
};

void release(DlpackTensor* tensor) { delete static_cast<Given*>(tensor->owner); }

DlpackType::Code code_of(DType dtype) {
  if (dtype == DType::kBF16) return DlpackType::kBfloat;
  const char kind = dtype_to(dtype).kind();
  return kind == 'f' ? DlpackType::kFloat : kind == 'i' ? DlpackType::kInt : DlpackType::kUInt;
}

void release_untaken(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, kFresh) == 0) return;
  release(static_cast<DlpackTensor*>(PyCapsule_GetPointer(capsule, kFresh)));
}

}  // namespace

std::shared_ptr<DlpackTensor> take_dlpack(const py::capsule& capsule) {
  auto* const tensor = static_cast<DlpackTensor*>(PyCapsule_GetPointer(capsule.ptr(), kFresh));
  if (tensor == nullptr || PyCapsule_SetName(capsule.ptr(), kTaken) != 0) throw py::error_already_set();
  return {tensor, [](DlpackTensor* taken) {
            const py::gil_scoped_acquire gil;
            if (taken->deleter != nullptr) taken->deleter(taken);
          }};
}

Array array_on(const std::shared_ptr<DlpackTensor>& tensor, Device device) {
  const DlpackView& view = tensor->view;
  const Shape shape(view.shape, view.shape + view.axes);
  void* const memory = static_cast<unsigned char*>(view.data) + view.byte_offset;
  return {memory, shape, dtype_from(view.dtype, shape), device, tensor};
}

DType dtype_from(DlpackType type, const Shape& shape) {
  if (type.code == DlpackType::kBfloat && type.bits == 16 && type.lanes == 1) return DType::kBF16;
  const char kind = type.code == DlpackType::kFloat  ? 'f'
                    : type.code == DlpackType::kInt  ? 'i'
                    : type.code == DlpackType::kUInt ? 'u'
                    : type.code == DlpackType::kBool ? 'b'
                                                     : '?';
  const auto known = type.lanes == 1 ? dtype_of(kind, type.bits / 8) : std::nullopt;
  if (!known) refuse_dtype(std::to_string(type.bits) + " bits of DLPack's type " + std::to_string(type.code), shape);
  return *known;
}

py::capsule give_dlpack(const Array& array) {
  auto given = std::make_unique<Given>(Given{array, array.shape(), {}});
  given->tensor = {{given->array.memory(),
                    array.device() == Device::cpu() ? kDlpackCpu : kDlpackCuda,
                    array.device().index,
                    static_cast<std::int32_t>(array.rank()),
                    {code_of(array.dtype()), static_cast<std::uint8_t>(8 * size_of(array.dtype())), 1},
                    given->shape.data(),
                    nullptr,
                    0},
                   given.get(),
                   release};
  PyObject* const capsule = PyCapsule_New(&given->tensor, kFresh, release_untaken);
  if (capsule == nullptr) throw py::error_already_set();
  (void)given.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace voxshift::python
