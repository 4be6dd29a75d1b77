// torch.save of PyTorch 1.6 and later: PREFIX/data.pkl, PREFIX/data/KEY, PREFIX/byteorder in a zip archive.
#include <voxshift/checkpoints/storage_ids.h>
#include <voxshift/checkpoints/unpickler.h>
#include <voxshift/checkpoints/zip_archive.h>

#include <algorithm>

namespace voxshift {
namespace {

// Weights hardly shrink when they are packed; what shrinks more is a claim.
constexpr std::uint64_t kMostPacked = 100;

std::string prefix_of(const ZipArchive& archive) {
  constexpr std::string_view kPickle = "data.pkl";
  const auto& names = archive.names();
  const auto pickle = std::ranges::find_if(names, [&](const std::string& name) {
    return name == kPickle || (name.ends_with(kPickle) && name.find('/') == name.size() - kPickle.size() - 1);
  });
  const auto holds = [&](std::string_view part) {
    return std::ranges::any_of(names, [&](const std::string& name) { return name.find(part) != std::string::npos; });
  };
  check<IoError>(!holds("constants.pkl") && !holds("/code/") && !holds("/model.json"),
                 "is a libtorch archive (TorchScript), whose code is not run; expected a checkpoint that torch.save "
                 "wrote, such as torch.save(module.state_dict(), ..)");
  check<IoError>(pickle != names.end(), "is a zip archive without data.pkl; expected one that torch.save wrote");
  return pickle->substr(0, pickle->size() - kPickle.size());
}

class ZipReader {
 public:
  explicit ZipReader(CheckpointContent& content) : content_(content) {
    auto archive = std::make_unique<ZipArchive>(content.path);
    archive_ = archive.get();
    content.file = std::move(archive);
  }

  void read() {
    prefix_ = prefix_of(*archive_);
    if (const auto order = archive_->find(prefix_ + "byteorder")) {
      std::string word(6, '\0');
      word.resize(archive_->open(*order)(word.data(), word.size()));
      check<IoError>(word == "little", "has the byte order \"", word, "\"; expected little");
    }
    Globals globals(content_);
    ByteReader bytes(archive_->open(claimed(prefix_ + "data.pkl").entry));
    content_.root = Unpickler(bytes, globals, [this](const Value& id) { return storage(id); }).load();
  }

 private:
  struct Claimed {
    std::uint64_t entry, bytes;
  };

  // An entry, whose sizes the archive's bytes can bear out.
  Claimed claimed(const std::string& name) {
    const auto entry = archive_->find(name);
    check<IoError>(entry.has_value(), "is cut or damaged: ", name, " is not in the archive");
    const std::uint64_t bytes = archive_->bytes(*entry), packed = archive_->packed_bytes(*entry);
    packed_ += packed;
    check<IoError>(packed <= content_.file_bytes && packed_ <= content_.file_bytes && bytes / kMostPacked <= packed,
                   name, " claims ", bytes, " bytes, packed in ", packed, "; the file has ", content_.file_bytes);
    return {*entry, bytes};
  }

  Value storage(const Value& value) {
    const StorageId id = storage_id(value);
    if (!id.type) return id.placeholder;
    check<IoError>(!id.view, "is damaged: a view of a storage in a zip archive");
    const auto [known, is_new] = storages_.try_emplace(id.key, content_.storages.size());
    if (is_new) {
      const Claimed entry = claimed(prefix_ + "data/" + id.key);
      content_.storages.push_back({entry.bytes, nullptr, entry.entry});
    }
    const std::uint64_t held = content_.storages[known->second].bytes;
    check<IoError>(id.count <= held / size_of(*id.type), "is cut or damaged: storage ", id.key, " claims ", id.count,
                   " elements ", name(*id.type), ", its entry has ", held, " bytes");
    return content_.arena.tensor(whole_storage(*id.type, known->second, id.count * size_of(*id.type)));
  }

  CheckpointContent& content_;
  ZipArchive* archive_ = nullptr;
  std::string prefix_;
  std::uint64_t packed_ = 0;
  std::map<std::string, std::size_t> storages_;
};

}  // namespace

void read_zip(CheckpointContent& content) {
  content.format = "zip";
  ZipReader(content).read();
}

}  // namespace voxshift
