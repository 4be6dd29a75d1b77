#include <voxshift/checkpoints/storage_ids.h>

namespace voxshift {

StorageId storage_id(const Value& id) {
  using Kind = Value::Kind;
  const auto expect = [](bool condition) {
    check<IoError>(condition, "is damaged: a storage without type, key and size");
  };
  const auto text_of = [&](const Value& value) {
    expect(value.is_string() || value.kind() == Kind::kInt);
    return value.is_string() ? value.as_string() : std::to_string(value.as_int());
  };
  expect(id.kind() == Kind::kTuple && id.as_list().size() >= 5);
  const std::vector<Value>& parts = id.as_list();
  expect(parts[0].is_string() && parts[0].as_string() == "storage" && parts[1].is_opaque());
  expect(parts[4].kind() == Kind::kInt && parts[4].as_int() >= 0);
  StorageId storage;
  storage.type = Globals::storage_type(parts[1].as_opaque().name);
  storage.placeholder = parts[1];
  storage.key = text_of(parts[2]);
  storage.count = static_cast<std::uint64_t>(parts[4].as_int());
  if (parts.size() < 6 || parts[5].is_none()) return storage;
  expect(parts[5].is_sequence() && parts[5].as_list().size() == 3);
  const std::vector<Value>& view = parts[5].as_list();
  expect(view[1].kind() == Kind::kInt && view[2].kind() == Kind::kInt);
  storage.view = {text_of(view[0]), view[1].as_int(), view[2].as_int()};
  return storage;
}

}  // namespace voxshift
