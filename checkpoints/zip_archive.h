// A zip archive through libzip.
#pragma once

#include <voxshift/checkpoints/content.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

struct zip;
struct zip_file;

namespace voxshift {

/// An archive that is read. Errors do not name the file. Not safe for several threads, StorageFile's read() excepted.
class ZipArchive : public StorageFile {
 public:
  explicit ZipArchive(const std::filesystem::path& path);
  ~ZipArchive() override;
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  const std::vector<std::string>& names() const { return names_; }
  std::optional<std::uint64_t> find(const std::string& name) const;
  /// Bytes of the entry when unpacked, as the archive claims.
  std::uint64_t bytes(std::uint64_t entry) const;
  /// Bytes that it takes in the archive.
  std::uint64_t packed_bytes(std::uint64_t entry) const;

  /// Hands out the bytes of an entry from its first on, as long as the archive lives.
  std::function<std::size_t(char*, std::size_t)> open(std::uint64_t entry) const;
  void read(std::uint64_t entry, std::uint64_t offset, std::span<std::byte> out) override;

 private:
  struct zip* archive_;
  std::vector<std::string> names_;
  std::map<std::string, std::uint64_t, std::less<>> entries_;
  // The entry that was read last, and where: the next read often goes on there.
  std::shared_ptr<zip_file> current_;
  std::uint64_t current_entry_ = 0, current_offset_ = 0;
  std::mutex mutex_;
};

}  // namespace voxshift
