#include <voxshift/files/atomic_file.h>
#include <voxshift/files/process.h>
#include <voxshift/files/unfinished_file.h>
#include <voxshift/tensor/error.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace voxshift {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw IoError(path.string() + ": cannot be written: " + reason);
}

std::string last_error() { return std::generic_category().message(errno != 0 ? errno : EIO); }

void write_through(const fs::path& path, const fs::path& shown, const std::function<void(std::ostream&)>& writer) {
  errno = 0;
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  if (!stream) fail(shown, last_error());
  writer(stream);
  stream.close();
  if (!stream) fail(shown, last_error());
}

}  // namespace

void write_atomically(const fs::path& path, const std::function<void(std::ostream&)>& writer) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) fail(path, std::generic_category().message(EISDIR));
  if (fs::exists(status) && !fs::is_regular_file(status)) return write_through(path, path, writer);

  // A rename onto a link would replace the link, so it goes to where the link leads.
  const fs::path target = fs::is_regular_file(status) ? fs::canonical(path, error) : path;
  if (error && fs::is_regular_file(status)) fail(path, error.message());
  const UnfinishedFile temporary(fs::path(target) += ".part" + std::to_string(process_id()));
  write_through(temporary.path(), path, writer);
  fs::rename(temporary.path(), target, error);
  if (error) fail(path, error.message());
}

}  // namespace voxshift
