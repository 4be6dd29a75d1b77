// Checkpoints assembled byte by byte.
#pragma once

#include <voxshift/checkpoints/checkpoint.h>

#include <cstdint>
#include <string>
#include <vector>

#include "file_test.h"

namespace voxshift::assembled {

inline std::string little(std::uint64_t number, int bytes) {
  std::string text;
  for (int b = 0; b < bytes; ++b) text.push_back(static_cast<char>(number >> (8 * b) & 0xFF));
  return text;
}

/// Instructions of pickles, protocol 2.
inline std::string text(const std::string& utf8) { return "X" + little(utf8.size(), 4) + utf8; }
inline std::string whole(std::int64_t number) { return "\x8a\x08" + little(static_cast<std::uint64_t>(number), 8); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::string& items) { return "(" + items + "t"; }
inline std::string wholes(const std::vector<std::int64_t>& numbers) {
  std::string items;
  for (const std::int64_t number : numbers) items += whole(number);
  return tuple(items);
}
inline std::string pickle(const std::string& instructions) { return "\x80\x02" + instructions + "."; }

/// ("storage", torch.<type>, key, "cpu", count) as a persistent id.
inline std::string storage(const std::string& type, const std::string& key, std::int64_t count,
                           const std::string& view = "") {
  return tuple(text("storage") + global("torch", type) + text(key) + text("cpu") + whole(count) + view) + "Q";
}

inline std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& stride) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple(storage + whole(offset) + wholes(shape) + wholes(stride) + "\x89" +
               global("collections", "OrderedDict") + ")R") +
         "R";
}

struct ZipEntry {
  std::string name, content;
  std::uint64_t claimed = ~std::uint64_t{0};  // bytes of the content, where they are not its size
};

/// A zip archive of stored entries, without checksums, as torch.save may leave them out.
inline std::string zip_file(const std::vector<ZipEntry>& entries) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const std::uint64_t size = entry.claimed == ~std::uint64_t{0} ? entry.content.size() : entry.claimed;
    const std::string common = little(0, 2) + little(0, 2) + little(0, 4) + little(0, 4) + little(size, 4) +
                               little(size, 4) + little(entry.name.size(), 2) + little(0, 2);
    directory += "PK\1\2" + little(20, 2) + little(20, 2) + common + little(0, 6) + little(0, 4) +
                 little(file.size(), 4) + entry.name;
    file += "PK\3\4" + little(20, 2) + common + entry.name + entry.content;
  }
  return file + directory + "PK\5\6" + little(0, 4) + little(entries.size(), 2) + little(entries.size(), 2) +
         little(directory.size(), 4) + little(file.size(), 4) + little(0, 2);
}

/// torch.save before 1.6: `storages` are (key, elements, bytes).
struct LegacyStorage {
  std::string key;
  std::uint64_t count;
  std::string content;
};

inline std::string legacy_file(const std::string& object, const std::vector<LegacyStorage>& storages,
                               const std::string& machine = "}") {
  std::string keys = "(", contents;
  for (const LegacyStorage& storage : storages) {
    keys += text(storage.key);
    contents += little(storage.count, 8) + storage.content;
  }
  return pickle(std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12)) + pickle(whole(1001)) +
         pickle(machine) + pickle(object) + pickle(keys + "l") + contents;
}

}  // namespace voxshift::assembled
