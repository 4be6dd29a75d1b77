// What a checkpoint holds: numbers, strings, lists, dicts, tensors whose bytes stay in the file, and placeholders.
#pragma once

#include <voxshift/tensor/error.h>
#include <voxshift/tensor/shape.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace voxshift {

/// Element types of stored tensors.
enum class ScalarType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };

/// Bytes of one element.
std::size_t size_of(ScalarType type);

/// "f64", "f32", "f16", "bf16", "i64", .., "u8", "bool".
const char* name(ScalarType type);

/// A view of a storage: element [i, j, ..] lies at `offset + i * stride[0] + j * stride[1] + ..`. Every element lies
/// within the storage, which the reader has checked.
struct StoredTensor {
  ScalarType type = ScalarType::kF32;
  Shape shape;
  std::vector<std::int64_t> stride;  ///< in elements, not negative
  std::size_t storage = 0;           ///< of its checkpoint; tied weights share one
  std::int64_t offset = 0;           ///< in elements

  std::int64_t count() const;
  /// Whether the elements follow each other in row-major order.
  bool is_contiguous() const;
};

struct Dict;
struct Opaque;

/// A value of a checkpoint: a small handle, valid as long as a copy of its Checkpoint lives. What several places of a
/// checkpoint refer to is one object here, too; no object holds itself, and nesting is at most 100 deep. The as_..()
/// functions throw InvalidArgument "[checkpoint] expects a string, found a list".
class Value {
 public:
  enum class Kind { kNone, kBool, kInt, kFloat, kString, kBytes, kList, kTuple, kSet, kDict, kTensor, kOpaque };

  Value() = default;
  explicit Value(bool value) : kind_(Kind::kBool) { content_.truth = value; }
  explicit Value(std::int64_t value) : kind_(Kind::kInt) { content_.whole = value; }
  explicit Value(double value) : kind_(Kind::kFloat) { content_.real = value; }

  Kind kind() const { return kind_; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple || kind_ == Kind::kSet; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  bool is_tensor() const { return kind_ == Kind::kTensor; }
  bool is_opaque() const { return kind_ == Kind::kOpaque; }

  bool as_bool() const;
  std::int64_t as_int() const;
  double as_double() const;              ///< of whole numbers, too
  const std::string& as_string() const;  ///< UTF-8
  const std::string& as_bytes() const;
  const std::vector<Value>& as_list() const;  ///< of a list, tuple or set
  const Dict& as_dict() const;
  const StoredTensor& as_tensor() const;
  const Opaque& as_opaque() const;

  /// The entry of a dict under a string; nullptr where there is none, or this is no dict.
  const Value* find(std::string_view key) const;

  /// Equal for two handles of one string, list, dict, tensor or placeholder; nullptr for other kinds.
  const void* identity() const { return has_object() ? content_.object : nullptr; }

 private:
  friend class ValueArena;
  bool has_object() const { return kind_ >= Kind::kString; }
  template <class T>
  const T& object(bool right, const char* expected) const;

  Kind kind_ = Kind::kNone;
  union {
    bool truth;
    std::int64_t whole = 0;
    double real;
    void* object;
  } content_;
};

/// "a list", "a tensor", ..
const char* name(Value::Kind kind);

/// Pairs in the order of the file, no key twice. Keys are whatever Python hashes.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  /// What was set on the dict itself, a dict or none: `_metadata`, the versions of modules, of an OrderedDict that
  /// state_dict() made; under the same name the string metadata of a .safetensors file.
  Value attributes;

  const Value* find(std::string_view key) const;
};

/// An object of a class, or a call of a function, that the reader does not know. Nothing was imported or called. A
/// whole number beyond 64 bits is one, too: of "int", its digits ("0x..", "-0x..") as state.
struct Opaque {
  std::string_view name{};     ///< "mmengine.logging.history_buffer.HistoryBuffer"
  bool is_object = false;      ///< an object of the class, or the result of the call; else the class or function itself
  Value arguments{};           ///< of the call: a tuple, or none
  Value state{};               ///< attributes, mostly a dict, or none
  std::vector<Value> items{};  ///< what was appended, of a list-like object
  Dict entries{};              ///< what was set by key, of a dict-like object
};

}  // namespace voxshift
