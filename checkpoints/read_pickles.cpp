// torch.save before 1.6: pickles of a magic number, a protocol, the machine, the object and the keys of its storages,
// then each storage as a count of elements and their bytes. And a pickle alone.
#include <voxshift/checkpoints/plain_file.h>
#include <voxshift/checkpoints/storage_ids.h>
#include <voxshift/checkpoints/unpickler.h>
#include <voxshift/files/files.h>

#include <array>
#include <map>

namespace voxshift {
namespace {

constexpr std::string_view kMagic = "0x1950a86a20f9469cfc6c";

class PickleReader {
 public:
  explicit PickleReader(CheckpointContent& content)
      : content_(content), file_(open_file(content.path)), bytes_([this](char* out, std::size_t bytes) {
          file_.read(out, static_cast<std::streamsize>(bytes));
          return static_cast<std::size_t>(file_.gcount());
        }) {}

  void read() {
    Globals globals(content_);
    Unpickler unpickler(bytes_, globals, [this](const Value& id) { return storage(id); });
    content_.format = "pickle";
    content_.root = unpickler.load();
    if (!is_magic(content_.root)) {
      check<IoError>(storages_.empty(), "is damaged: a pickle that refers to storages without any");
      return;
    }
    content_.format = "legacy";
    const Value protocol = unpickler.load();
    check<IoError>(protocol.kind() == Value::Kind::kInt && protocol.as_int() == 1001,
                   "is of an unknown version of torch.save");
    const Value machine = unpickler.load();
    const Value* little = machine.find("little_endian");
    check<IoError>(little == nullptr || little->kind() != Value::Kind::kBool || little->as_bool(),
                   "has big-endian numbers; expected little-endian ones");
    content_.root = unpickler.load();
    const Value keys = unpickler.load();
    check<IoError>(keys.is_sequence(), "is damaged: no list of its storages");
    content_.file = std::make_unique<PlainFile>(content_.path);
    std::uint64_t position = bytes_.position();
    for (const Value& key : keys.as_list())
      position =
          find_storage(key.kind() == Value::Kind::kInt ? std::to_string(key.as_int()) : key.as_string(), position);
    for (const auto& [key, storage] : storages_)
      check<IoError>(storage.is_found, "is cut or damaged: storage ", key, " is not there");
  }

 private:
  struct Known {
    std::size_t index;
    ScalarType type;
    std::uint64_t count;
    bool is_found = false;
  };

  static bool is_magic(const Value& value) {
    return value.is_opaque() && value.as_opaque().name == "int" && value.as_opaque().state.as_string() == kMagic;
  }

  Value storage(const Value& value) {
    if (value.kind() == Value::Kind::kTuple && value.as_list().size() > 1 && value.as_list()[0].is_string() &&
        value.as_list()[0].as_string() == "module")
      return value.as_list()[1];
    const StorageId id = storage_id(value);
    const ScalarType type = id.type.value_or(ScalarType::kU8);
    const auto [known, is_new] = storages_.try_emplace(id.key, Known{content_.storages.size(), type, id.count});
    if (is_new) content_.storages.push_back({id.count > content_.file_bytes ? 0 : id.count * size_of(type)});
    check<IoError>(known->second.type == type && known->second.count == id.count, "is damaged: storage ", id.key,
                   " has two types or sizes");
    check<IoError>(content_.storages[known->second.index].bytes / size_of(type) == id.count, "storage ", id.key,
                   " claims ", id.count, " elements, the file has ", content_.file_bytes, " bytes");
    if (!id.type) return id.placeholder;
    StoredTensor whole = whole_storage(type, known->second.index, id.count * size_of(type));
    if (id.view) {
      whole.shape = {id.view->count};
      whole.offset = id.view->offset;
      whole = view_of(content_, std::move(whole));
    }
    return content_.arena.tensor(std::move(whole));
  }

  // The storage at a position of the file, from its count of elements on; gives the position of the next one.
  std::uint64_t find_storage(const std::string& key, std::uint64_t position) {
    constexpr std::uint64_t kCountBytes = 8;
    const auto found = storages_.find(key);
    check<IoError>(found != storages_.end() && !found->second.is_found, "is damaged: storage ", key,
                   " is there twice or belongs to no tensor");
    found->second.is_found = true;
    Storage& storage = content_.storages[found->second.index];
    std::array<std::byte, kCountBytes> bytes{};
    content_.file->read(position, 0, bytes);
    std::uint64_t count = 0;
    for (std::size_t b = 0; b < bytes.size(); ++b) count |= std::to_integer<std::uint64_t>(bytes[b]) << (8 * b);
    check<IoError>(count == found->second.count, "is damaged: storage ", key, " has ", count,
                   " elements, its tensors expect ", found->second.count);
    storage.position = position + kCountBytes;
    check<IoError>(storage.bytes <= content_.file_bytes - storage.position, "is cut: storage ", key, " claims ",
                   storage.bytes, " bytes, ", content_.file_bytes - storage.position, " are left");
    return storage.position + storage.bytes;
  }

  CheckpointContent& content_;
  std::ifstream file_;
  ByteReader bytes_;
  std::map<std::string, Known> storages_;
};

}  // namespace

void read_pickles(CheckpointContent& content) { PickleReader(content).read(); }

}  // namespace voxshift
