// Checkpoints of PyTorch as numpy arrays.
#include <pybind11/stl/filesystem.h>
#include <voxshift/checkpoints/checkpoint.h>

#include <map>
#include <memory>
#include <unordered_map>

#include "arrays.h"
#include "bindings.h"
#include "opaque_object.h"

namespace py = pybind11;

namespace voxshift::python {
namespace {

const char* numpy_name(ScalarType type) {
  switch (type) {
    case ScalarType::kF64:
      return "f8";
    case ScalarType::kF32:
    case ScalarType::kBF16:
      return "f4";  // numpy has no bf16
    case ScalarType::kF16:
      return "f2";
    case ScalarType::kI64:
      return "i8";
    case ScalarType::kI32:
      return "i4";
    case ScalarType::kI16:
      return "i2";
    case ScalarType::kI8:
      return "i1";
    case ScalarType::kU64:
      return "u8";
    case ScalarType::kU32:
      return "u4";
    case ScalarType::kU16:
      return "u2";
    case ScalarType::kU8:
      return "u1";
    case ScalarType::kBool:
      return "?";
  }
  return "";
}

py::object text_of(const std::string& utf8) {
  PyObject* const text = PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "surrogateescape");
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(text);
}

// Objects of Python for those of a checkpoint, one for one.
class Converter {
 public:
  explicit Converter(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  py::object convert(const Value& value) {
    switch (value.kind()) {
      case Value::Kind::kNone:
        return py::none();
      case Value::Kind::kBool:
        return py::bool_(value.as_bool());
      case Value::Kind::kInt:
        return py::int_(value.as_int());
      case Value::Kind::kFloat:
        return py::float_(value.as_double());
      default:
        break;
    }
    const auto known = objects_.find(value.identity());
    if (known != objects_.end()) return known->second;
    py::object object = converted(value);
    objects_.emplace(value.identity(), object);
    return object;
  }

 private:
  py::object converted(const Value& value) {
    switch (value.kind()) {
      case Value::Kind::kString:
        return text_of(value.as_string());
      case Value::Kind::kBytes:
        return py::bytes(value.as_bytes());
      case Value::Kind::kList:
        return list(value.as_list());
      case Value::Kind::kTuple:
        return py::tuple(list(value.as_list()));
      case Value::Kind::kSet:
        return set(value.as_list());
      case Value::Kind::kDict:
        return dict(value.as_dict());
      case Value::Kind::kTensor:
        return array(value.as_tensor());
      default:
        return opaque(value.as_opaque());
    }
  }

  py::list list(const std::vector<Value>& values) {
    py::list items;
    for (const Value& value : values) items.append(convert(value));
    return items;
  }

  // A list where an item, of a damaged file, cannot be hashed.
  py::object set(const std::vector<Value>& values) {
    py::list items = list(values);
    try {
      return py::set(items);
    } catch (py::error_already_set&) {
      return items;
    }
  }

  py::object dict(const Dict& values) {
    const Value* metadata = values.attributes.find("_metadata");
    py::object result = py::dict();
    if (metadata != nullptr) {
      result = py::module_::import("collections").attr("OrderedDict")();
      result.attr("_metadata") = convert(*metadata);
    }
    for (const auto& [key, value] : values.items) result[convert(key)] = convert(value);
    return result;
  }

  py::object opaque(const Opaque& object) {
    if (object.name == "int" && object.state.is_string()) {
      PyObject* const number = PyLong_FromString(object.state.as_string().c_str(), nullptr, 0);
      if (number != nullptr) return py::reinterpret_steal<py::object>(number);
      PyErr_Clear();  // more digits than Python converts
    }
    return py::cast(OpaqueObject{text_of(std::string(object.name)), object.is_object, convert(object.arguments),
                                 convert(object.state), list(object.items), dict(object.entries)});
  }

  // Memory of a whole storage, which its tensors share; bf16 as f32.
  struct Memory {
    std::byte* first;
    py::capsule owner;
  };

  Memory load(const StoredTensor& tensor) const {
    if (tensor.type == ScalarType::kBF16) {
      StoredTensor all = tensor;
      all.shape = {static_cast<std::int64_t>(checkpoint_.storage_bytes(tensor.storage) / size_of(tensor.type))};
      all.stride = {1};
      all.offset = 0;
      auto floats = std::make_unique<Array>();
      {
        const py::gil_scoped_release without_gil;
        *floats = checkpoint_.f32(all);
      }
      auto* const first = static_cast<std::byte*>(floats->memory());
      return {first, py::capsule(floats.release(), [](void* owner) { delete static_cast<Array*>(owner); })};
    }
    const std::size_t bytes = checkpoint_.storage_bytes(tensor.storage);
    std::unique_ptr<std::byte[]> memory(new std::byte[bytes]);  // not set: all of it is read
    {
      const py::gil_scoped_release without_gil;
      checkpoint_.read_storage(tensor.storage, 0, {memory.get(), bytes});
    }
    std::byte* const first = memory.get();
    return {first, py::capsule(memory.release(), [](void* owner) { delete[] static_cast<std::byte*>(owner); })};
  }

  py::array array(const StoredTensor& tensor) {
    const auto place = std::pair(tensor.storage, tensor.type == ScalarType::kBF16);
    auto memory = memories_.find(place);
    if (memory == memories_.end()) memory = memories_.emplace(place, load(tensor)).first;
    const py::dtype dtype(numpy_name(tensor.type));
    const auto size = dtype.itemsize();
    std::vector<py::ssize_t> strides;
    for (const std::int64_t stride : tensor.stride) strides.push_back(stride * size);
    return {dtype, tensor.shape, strides, memory->second.first + tensor.offset * size, memory->second.owner};
  }

  const Checkpoint& checkpoint_;
  std::unordered_map<const void*, py::object> objects_;
  std::map<std::pair<std::size_t, bool>, Memory> memories_;
};

}  // namespace

py::object read_checkpoint(const std::filesystem::path& path) {
  const Checkpoint checkpoint = [&] {
    const py::gil_scoped_release without_gil;
    return Checkpoint::read(path);
  }();
  return Converter(checkpoint).convert(checkpoint.root());
}

}  // namespace voxshift::python
