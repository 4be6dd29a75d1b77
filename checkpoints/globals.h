// The classes and functions that a checkpoint's pickle names: what the known ones make, and placeholders for all
// others.
#pragma once

#include <voxshift/checkpoints/content.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace voxshift {

/// Stands in for calls. Nothing is looked up by name beside the tables in here.
class Globals {
 public:
  explicit Globals(CheckpointContent& content) : content_(content) {}

  ValueArena& arena() { return content_.arena; }

  /// The class or function itself.
  Value find(const std::string& module, const std::string& name);

  /// What `function(*arguments)` gives. Throws IoError for tensors outside their storage and what cannot be called.
  Value call(Value function, Value arguments);

  /// An object of a class, as object.__new__(type, *arguments) makes it.
  Value make(Value type, Value arguments);

  /// The object with its state: mostly `object` itself, changed; a tensor where the state made it one.
  Value build(Value object, Value state);

  /// The type of a storage class such as "torch.FloatStorage"; nullopt where tensors of it are not read.
  static std::optional<ScalarType> storage_type(std::string_view name);

 private:
  using Arguments = std::vector<Value>;
  std::optional<Value> known_call(std::string_view name, const Arguments& arguments);
  std::optional<Value> container(std::string_view name, const Arguments& arguments);
  Value rebuilt_tensor(const Arguments& arguments, Value placeholder);
  Value encoded(const Arguments& arguments);
  Value numpy_scalar(const Arguments& arguments, Value placeholder);
  Value numpy_array(const Value& shape, const Value& dtype, bool fortran, const Value& bytes, Value placeholder);
  Value placeholder(Value function, Value arguments);

  CheckpointContent& content_;
  std::uint64_t encoded_bytes_ = 0;
};

}  // namespace voxshift
