// Owner of the objects that Values refer to.
#pragma once

#include <voxshift/checkpoints/value.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {

/// Whether a value can be the key of a dict here: scalars, names of classes, and short tuples of these.
bool is_hashable(const Value& key);

/// Makes objects and changes them while a file is read. Ownership is flat, so that neither objects that hold each other
/// nor deep ones trouble its destructor.
class ValueArena {
 public:
  /// More objects than a checkpoint has, few enough for any device's memory.
  static constexpr std::size_t kMostObjects = 10'000'000;

  Value string(std::string text) { return add(strings_, Value::Kind::kString, std::move(text)); }
  Value bytes(std::string text) { return add(strings_, Value::Kind::kBytes, std::move(text)); }
  Value sequence(Value::Kind kind, std::vector<Value> items) { return add(lists_, kind, std::move(items)); }
  Value dict(Dict dict = {}) { return add(dicts_, Value::Kind::kDict, std::move(dict)); }
  Value tensor(StoredTensor tensor) { return add(tensors_, Value::Kind::kTensor, std::move(tensor)); }
  Value opaque(Opaque opaque) { return add(opaques_, Value::Kind::kOpaque, std::move(opaque)); }

  // The object behind a value, which must be of that kind.
  static std::vector<Value>& items(Value value) { return *static_cast<std::vector<Value>*>(value.content_.object); }
  static Dict& entries(Value value) { return *static_cast<Dict*>(value.content_.object); }
  static Opaque& placeholder(Value value) { return *static_cast<Opaque*>(value.content_.object); }

 private:
  template <class T>
  Value add(std::deque<T>& objects, Value::Kind kind, T object) {
    check<IoError>(++count_ <= kMostObjects, "holds more than ", kMostObjects, " objects; expected a checkpoint");
    Value value;
    value.kind_ = kind;
    value.content_.object = &objects.emplace_back(std::move(object));
    return value;
  }

  std::deque<std::string> strings_;
  std::deque<std::vector<Value>> lists_;
  std::deque<Dict> dicts_;
  std::deque<StoredTensor> tensors_;
  std::deque<Opaque> opaques_;
  std::size_t count_ = 0;
};

}  // namespace voxshift
