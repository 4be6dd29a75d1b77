#include <voxshift/files/read_bytes.h>
#include <voxshift/tensor/error.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace voxshift {

namespace fs = std::filesystem;

std::string read_bytes(const fs::path& path, const char* content) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check<IoError>(fs::exists(status), path.string(),
                 ": cannot be read: ", error ? error.message() : std::string("No such file or directory"));
  check<IoError>(fs::is_regular_file(status), path.string(), ": is not a file");
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  const std::uintmax_t size = fs::file_size(path, error);
  check<IoError>(stream.is_open() && !error, path.string(),
                 ": cannot be read: ", std::generic_category().message(error ? error.value() : errno));
  check<IoError>(size > 0, path.string(), ": is empty, expected ", content);
  std::string bytes(size, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  check<IoError>(static_cast<std::uintmax_t>(stream.gcount()) == size, path.string(), ": ended after ", stream.gcount(),
                 " of ", size, " bytes");
  return bytes;
}

}  // namespace voxshift
