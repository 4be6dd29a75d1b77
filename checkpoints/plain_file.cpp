#include <voxshift/checkpoints/plain_file.h>
#include <voxshift/files/files.h>

namespace voxshift {

PlainFile::PlainFile(const std::filesystem::path& path) : file_(open_file(path)) {}

void PlainFile::read(std::uint64_t position, std::uint64_t offset, std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(position + offset));
  file_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  check<IoError>(static_cast<bool>(file_), "is cut: it ended before byte ", position + offset + out.size());
}

}  // namespace voxshift
