#include <voxshift/files/files.h>
#include <voxshift/files/read_bytes.h>
#include <voxshift/tensor/error.h>

#include <fstream>
#include <system_error>

namespace voxshift {

namespace fs = std::filesystem;

std::string read_bytes(const fs::path& path, const char* content) {
  std::ifstream stream = open_file(path);
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  check<IoError>(!error, path.string(), ": cannot be read: ", error.message());
  check<IoError>(size > 0, path.string(), ": is empty, expected ", content);
  std::string bytes(size, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  check<IoError>(static_cast<std::uintmax_t>(stream.gcount()) == size, path.string(), ": ended after ", stream.gcount(),
                 " of ", size, " bytes");
  return bytes;
}

}  // namespace voxshift
