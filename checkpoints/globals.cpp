#include <voxshift/checkpoints/globals.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

namespace voxshift {
namespace {

using Kind = Value::Kind;

constexpr std::size_t kLongestName = 500;

constexpr std::pair<std::string_view, ScalarType> kStorages[] = {
    {"DoubleStorage", ScalarType::kF64},    {"FloatStorage", ScalarType::kF32}, {"HalfStorage", ScalarType::kF16},
    {"BFloat16Storage", ScalarType::kBF16}, {"LongStorage", ScalarType::kI64},  {"IntStorage", ScalarType::kI32},
    {"ShortStorage", ScalarType::kI16},     {"CharStorage", ScalarType::kI8},   {"ByteStorage", ScalarType::kU8},
    {"BoolStorage", ScalarType::kBool},     {"UntypedStorage", ScalarType::kU8}};

constexpr std::pair<std::string_view, ScalarType> kTorchTypes[] = {
    {"torch.float64", ScalarType::kF64},   {"torch.float32", ScalarType::kF32}, {"torch.float16", ScalarType::kF16},
    {"torch.bfloat16", ScalarType::kBF16}, {"torch.int64", ScalarType::kI64},   {"torch.int32", ScalarType::kI32},
    {"torch.int16", ScalarType::kI16},     {"torch.int8", ScalarType::kI8},     {"torch.uint64", ScalarType::kU64},
    {"torch.uint32", ScalarType::kU32},    {"torch.uint16", ScalarType::kU16},  {"torch.uint8", ScalarType::kU8},
    {"torch.bool", ScalarType::kBool}};

constexpr std::pair<std::string_view, ScalarType> kNumpyTypes[] = {
    {"f8", ScalarType::kF64}, {"f4", ScalarType::kF32}, {"f2", ScalarType::kF16}, {"i8", ScalarType::kI64},
    {"i4", ScalarType::kI32}, {"i2", ScalarType::kI16}, {"i1", ScalarType::kI8},  {"u8", ScalarType::kU64},
    {"u4", ScalarType::kU32}, {"u2", ScalarType::kU16}, {"u1", ScalarType::kU8},  {"b1", ScalarType::kBool}};

template <class Table>
std::optional<ScalarType> find_type(const Table& table, std::string_view name) {
  const auto found = std::ranges::find_if(table, [&](const auto& row) { return row.first == name; });
  return found == std::end(table) ? std::nullopt : std::optional(found->second);
}

bool is_class(const Value& value) { return value.is_opaque() && !value.as_opaque().is_object; }

// The type of a numpy.dtype, little-endian ones only.
std::optional<ScalarType> numpy_type(const Value& value) {
  if (!value.is_opaque() || value.as_opaque().name != "numpy.dtype") return std::nullopt;
  const Opaque& dtype = value.as_opaque();
  if (!dtype.arguments.is_sequence() || dtype.arguments.as_list().empty()) return std::nullopt;
  const Value& word = dtype.arguments.as_list().front();
  if (!word.is_string()) return std::nullopt;
  if (dtype.state.is_sequence() && dtype.state.as_list().size() > 1) {
    const Value& order = dtype.state.as_list()[1];
    if (order.is_string() && order.as_string() == ">") return std::nullopt;
  }
  return find_type(kNumpyTypes, word.as_string());
}

// Whole numbers of a tuple; nullopt for anything else.
std::optional<std::vector<std::int64_t>> whole_numbers(const Value& value) {
  constexpr std::size_t kMostNumbers = 64;
  if (!value.is_sequence() || value.as_list().size() > kMostNumbers) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const Value& item : value.as_list()) {
    if (item.kind() != Kind::kInt) return std::nullopt;
    numbers.push_back(item.as_int());
  }
  return numbers;
}

template <class T>
T read_number(const std::string& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

double half_to_double(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 1024, exponent - 25);
  }
  return (half & 0x8000) != 0 ? -value : value;
}

// A number of a numpy type; 64 unsigned bits as a double.
Value number_of(ScalarType type, const std::string& bytes) {
  switch (type) {
    case ScalarType::kF64:
      return Value(read_number<double>(bytes));
    case ScalarType::kF32:
      return Value(double{read_number<float>(bytes)});
    case ScalarType::kF16:
      return Value(half_to_double(read_number<std::uint16_t>(bytes)));
    case ScalarType::kBF16:
      return Value(double{std::bit_cast<float>(std::uint32_t{read_number<std::uint16_t>(bytes)} << 16)});
    case ScalarType::kI64:
      return Value(read_number<std::int64_t>(bytes));
    case ScalarType::kI32:
      return Value(std::int64_t{read_number<std::int32_t>(bytes)});
    case ScalarType::kI16:
      return Value(std::int64_t{read_number<std::int16_t>(bytes)});
    case ScalarType::kI8:
      return Value(std::int64_t{read_number<std::int8_t>(bytes)});
    case ScalarType::kU64:
      return Value(static_cast<double>(read_number<std::uint64_t>(bytes)));
    case ScalarType::kU32:
      return Value(std::int64_t{read_number<std::uint32_t>(bytes)});
    case ScalarType::kU16:
      return Value(std::int64_t{read_number<std::uint16_t>(bytes)});
    case ScalarType::kU8:
      return Value(std::int64_t{read_number<std::uint8_t>(bytes)});
    case ScalarType::kBool:
      return Value(read_number<std::uint8_t>(bytes) != 0);
  }
  return {};
}

// The bytes of a text whose characters are all below 256; nullopt where one is not.
std::optional<std::string> latin1(const std::string& utf8) {
  std::string bytes;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    if (lead < 0x80) {
      bytes.push_back(utf8[i]);
    } else if ((lead & 0xFC) == 0xC0 && i + 1 < utf8.size()) {
      bytes.push_back(static_cast<char>(lead << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3F)));
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

// Calls that give their first argument, a tensor, with what training adds to it. Variable is of PyTorch before 0.4.
bool is_wrapper(std::string_view name) {
  return name == "torch._utils._rebuild_parameter" || name == "torch._utils._rebuild_parameter_with_state" ||
         name == "torch._utils._rebuild_device_tensor_from_numpy" || name == "torch.autograd.variable.Variable" ||
         name == "torch.nn.parameter.Parameter";
}

// (function, type, arguments, ..): of tensors of other classes, and those with attributes.
bool is_typed_call(std::string_view name) {
  return name == "torch._tensor._rebuild_from_type_v2" || name == "torch._tensor._rebuild_from_type" ||
         name == "torch.tensor._rebuild_from_type";
}

bool is_namespace(std::string_view name) { return name == "argparse.Namespace" || name == "types.SimpleNamespace"; }

bool is_dict_class(std::string_view name) {
  return name == "collections.OrderedDict" || name == "collections.defaultdict" || name == "collections.Counter";
}

}  // namespace

std::optional<ScalarType> Globals::storage_type(std::string_view name) {
  return find_type(kStorages, name.substr(name.rfind('.') + 1));
}

Value Globals::find(const std::string& module, const std::string& name) {
  check<IoError>(module.size() + name.size() <= kLongestName, "is damaged: the name of a class has ",
                 module.size() + name.size(), " characters");
  const bool builtin = module == "builtins" || module == "__builtin__";
  const Value full = arena().string(builtin ? name : module + "." + name);
  return arena().opaque({full.as_string()});
}

Value Globals::placeholder(Value function, Value arguments) {
  check<IoError>(function.is_opaque(), "is damaged: its pickle calls ", name(function.kind()));
  Opaque object{function.as_opaque().name, true};
  object.arguments = arguments;
  return arena().opaque(std::move(object));
}

Value Globals::call(Value function, Value arguments) {
  if (is_class(function) && arguments.is_sequence()) {
    const std::string_view name = function.as_opaque().name;
    const Arguments& list = arguments.as_list();
    if (name == "torch._utils._rebuild_tensor" || name == "torch._utils._rebuild_tensor_v2" ||
        name == "torch._utils._rebuild_tensor_v3")
      return rebuilt_tensor(list, placeholder(function, arguments));
    if (name == "numpy.core.multiarray.scalar" || name == "numpy._core.multiarray.scalar")
      return numpy_scalar(list, placeholder(function, arguments));
    if (name.ends_with("numeric._frombuffer") && list.size() == 4)
      return numpy_array(list[2], list[1], list[3].is_string() && list[3].as_string() == "F", list[0],
                         placeholder(function, arguments));
    if (is_typed_call(name) && list.size() > 2 && is_class(list[0]) && !is_typed_call(list[0].as_opaque().name))
      return call(list[0], list[2]);
    if (std::optional<Value> known = known_call(name, list)) return *known;
  }
  return placeholder(function, arguments);
}

std::optional<Value> Globals::known_call(std::string_view name, const Arguments& arguments) {
  if (is_wrapper(name) && !arguments.empty()) return arguments[0];
  if (name == "_codecs.encode") return encoded(arguments);
  if (name == "bytes" || name == "bytearray") {
    if (arguments.empty()) return arena().bytes("");
    if (arguments[0].kind() == Kind::kBytes) return arguments[0];
    if (arguments[0].is_string()) return encoded(arguments);
    return std::nullopt;
  }
  if ((name == "copyreg._reconstructor" || name == "copy_reg._reconstructor") && !arguments.empty())
    return make(arguments[0], {});
  if ((name == "numpy.core.multiarray._reconstruct" || name == "numpy._core.multiarray._reconstruct") &&
      !arguments.empty() && is_class(arguments[0]))
    return placeholder(arguments[0], {});
  return container(name, arguments);
}

std::optional<Value> Globals::container(std::string_view name, const Arguments& arguments) {
  const Value first = arguments.empty() ? Value() : arguments[0];
  if (is_dict_class(name)) {
    Dict dict;
    if (first.is_dict()) dict.items = first.as_dict().items;
    if (first.is_sequence())
      for (const Value& pair : first.as_list()) {
        if (!pair.is_sequence() || pair.as_list().size() != 2 || !is_hashable(pair.as_list()[0])) return std::nullopt;
        dict.items.emplace_back(pair.as_list()[0], pair.as_list()[1]);
      }
    return arena().dict(std::move(dict));
  }
  if (arguments.size() > 1 || (!arguments.empty() && !first.is_sequence())) return std::nullopt;
  const auto sequence = [&](Kind kind) {
    return arena().sequence(kind, arguments.empty() ? std::vector<Value>() : first.as_list());
  };
  if (name == "set" || name == "frozenset") return sequence(Kind::kSet);
  if (name == "torch.Size" || name == "tuple") return sequence(Kind::kTuple);
  if (name == "list") return sequence(Kind::kList);
  return std::nullopt;
}

// (storage, offset, size, stride, ..), in version 3 with the type at the end: (.., requires_grad, hooks, type,
// metadata).
Value Globals::rebuilt_tensor(const Arguments& arguments, Value placeholder) {
  if (arguments.size() < 4 || !arguments[0].is_tensor()) return placeholder;
  const auto shape = whole_numbers(arguments[2]);
  const auto stride = whole_numbers(arguments[3]);
  check<IoError>(arguments[1].kind() == Kind::kInt && shape && stride, "is damaged: a tensor without shape and stride");
  const StoredTensor& storage = arguments[0].as_tensor();
  StoredTensor tensor{storage.type, *shape, *stride, storage.storage, arguments[1].as_int()};
  if (placeholder.as_opaque().name.ends_with("_v3")) {
    const bool named = arguments.size() > 6 && is_class(arguments[6]);
    const auto type = named ? find_type(kTorchTypes, arguments[6].as_opaque().name) : std::nullopt;
    if (!type) return placeholder;
    tensor.type = *type;
    check<IoError>(storage.offset == 0, "is damaged: an untyped storage that is part of another");
  } else {
    check<IoError>(!__builtin_add_overflow(tensor.offset, storage.offset, &tensor.offset),
                   "is damaged: a tensor lies outside its storage");
  }
  return arena().tensor(view_of(content_, std::move(tensor)));
}

// Python 3's bytes in protocols that have none: _codecs.encode(text, "latin1").
Value Globals::encoded(const Arguments& arguments) {
  check<IoError>(!arguments.empty() && arguments[0].is_string(), "is damaged: bytes that are no text");
  const std::string& text = arguments[0].as_string();
  encoded_bytes_ += text.size();
  check<IoError>(encoded_bytes_ / 8 <= content_.file_bytes, "encodes the same text again and again");
  std::optional<std::string> bytes = latin1(text);
  check<IoError>(bytes.has_value(), "is damaged: bytes that are no text of Latin-1");
  return arena().bytes(*std::move(bytes));
}

Value Globals::numpy_scalar(const Arguments& arguments, Value placeholder) {
  if (arguments.size() != 2 || arguments[1].kind() != Kind::kBytes) return placeholder;
  const auto type = numpy_type(arguments[0]);
  if (!type || arguments[1].as_bytes().size() != size_of(*type)) return placeholder;
  return number_of(*type, arguments[1].as_bytes());
}

Value Globals::make(Value type, Value arguments) {
  if (is_class(type) && is_wrapper(type.as_opaque().name) && arguments.is_sequence() && !arguments.as_list().empty())
    return arguments.as_list()[0];
  const Value object = placeholder(type, arguments);
  return is_dict_class(object.as_opaque().name) ? arena().dict() : object;
}

// State of numpy.ndarray: (version, shape, dtype, is_fortran, bytes); a string of Python 2 holds bytes, too.
Value Globals::numpy_array(const Value& shape, const Value& dtype, bool fortran, const Value& bytes,
                           Value placeholder) {
  const auto type = numpy_type(dtype);
  const auto extents = whole_numbers(shape);
  if (!type || !extents || (!bytes.is_string() && bytes.kind() != Kind::kBytes)) return placeholder;
  const std::string& memory = bytes.is_string() ? bytes.as_string() : bytes.as_bytes();
  content_.storages.push_back({memory.size(), memory.data()});
  return arena().tensor(dense_view(content_, *type, *extents, content_.storages.size() - 1, fortran));
}

Value Globals::build(Value object, Value state) {
  if (object.is_tensor()) return object;  // attributes that somebody set on a tensor
  if (object.is_dict()) {
    Dict& dict = ValueArena::entries(object);
    if (state.is_dict()) dict.attributes = state;
    return object;
  }
  check<IoError>(object.is_opaque(), "is damaged: its pickle sets the state of ", name(object.kind()));
  Opaque& placeholder = ValueArena::placeholder(object);
  placeholder.state = state;
  if (is_namespace(placeholder.name) && state.is_dict()) return state;
  if (placeholder.name != "numpy.ndarray" || !state.is_sequence() || state.as_list().size() != 5) return object;
  const std::vector<Value>& parts = state.as_list();
  const bool fortran = parts[3].kind() == Kind::kBool && parts[3].as_bool();
  return numpy_array(parts[1], parts[2], fortran, parts[4], object);
}

}  // namespace voxshift
