// A file whose storages lie in it as they are.
#pragma once

#include <voxshift/checkpoints/content.h>

#include <fstream>
#include <mutex>

namespace voxshift {

class PlainFile : public StorageFile {
 public:
  explicit PlainFile(const std::filesystem::path& path);
  void read(std::uint64_t position, std::uint64_t offset, std::span<std::byte> out) override;

 private:
  std::ifstream file_;
  std::mutex mutex_;
};

}  // namespace voxshift
