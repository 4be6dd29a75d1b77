#include <voxshift/checkpoints/value_arena.h>

#include <algorithm>

namespace voxshift {
namespace {

struct ScalarRow {
  const char* name;
  std::size_t bytes;
};

constexpr ScalarRow kScalars[] = {{"f64", 8}, {"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i64", 8}, {"i32", 4}, {"i16", 2},
                                  {"i8", 1},  {"u64", 8}, {"u32", 4}, {"u16", 2},  {"u8", 1},  {"bool", 1}};
constexpr const char* kKinds[] = {"None",   "a boolean", "a whole number", "a number", "a string", "bytes",
                                  "a list", "a tuple",   "a set",          "a dict",   "a tensor", "an object"};

const ScalarRow& row_of(ScalarType type) { return kScalars[static_cast<std::size_t>(type)]; }

}  // namespace

std::size_t size_of(ScalarType type) { return row_of(type).bytes; }
const char* name(ScalarType type) { return row_of(type).name; }
const char* name(Value::Kind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::int64_t StoredTensor::count() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

bool StoredTensor::is_contiguous() const {
  std::int64_t expected = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] != 1 && stride[axis] != expected) return count() == 0;
    expected *= shape[axis];
  }
  return true;
}

bool is_hashable(const Value& key) {
  constexpr std::size_t kLongestKey = 64;
  const auto is_plain = [](const Value& value) {
    return !value.is_sequence() && !value.is_dict() && !value.is_tensor();
  };
  if (key.kind() != Value::Kind::kTuple) return is_plain(key);
  return key.as_list().size() <= kLongestKey && std::ranges::all_of(key.as_list(), is_plain);
}

template <class T>
const T& Value::object(bool right, const char* expected) const {
  check(right, "[checkpoint] expects ", expected, ", found ", name(kind_));
  return *static_cast<const T*>(content_.object);
}

bool Value::as_bool() const {
  check(kind_ == Kind::kBool, "[checkpoint] expects a boolean, found ", name(kind_));
  return content_.truth;
}

std::int64_t Value::as_int() const {
  check(kind_ == Kind::kInt, "[checkpoint] expects a whole number, found ", name(kind_));
  return content_.whole;
}

double Value::as_double() const {
  if (kind_ == Kind::kInt) return static_cast<double>(content_.whole);
  check(kind_ == Kind::kFloat, "[checkpoint] expects a number, found ", name(kind_));
  return content_.real;
}

const std::string& Value::as_string() const { return object<std::string>(is_string(), "a string"); }
const std::string& Value::as_bytes() const { return object<std::string>(kind_ == Kind::kBytes, "bytes"); }
const std::vector<Value>& Value::as_list() const { return object<std::vector<Value>>(is_sequence(), "a list"); }
const Dict& Value::as_dict() const { return object<Dict>(is_dict(), "a dict"); }
const StoredTensor& Value::as_tensor() const { return object<StoredTensor>(is_tensor(), "a tensor"); }
const Opaque& Value::as_opaque() const { return object<Opaque>(is_opaque(), "an object"); }

const Value* Value::find(std::string_view key) const { return is_dict() ? as_dict().find(key) : nullptr; }

const Value* Dict::find(std::string_view key) const {
  const auto found = std::ranges::find_if(
      items, [&](const auto& item) { return item.first.is_string() && item.first.as_string() == key; });
  return found == items.end() ? nullptr : &found->second;
}

}  // namespace voxshift
