#include <unistd.h>
#include <voxshift/files/unfinished_file.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace voxshift {
namespace {

// Names by whoever writes: read in a handler of signals, so neither locked nor moved. A file that finds no place stays
// where a signal ends the process.
constexpr std::size_t kMostFiles = 64;
std::array<std::atomic<const char*>, kMostFiles> names{};
std::atomic<bool> ending{false};
static_assert(std::atomic<const char*>::is_always_lock_free);

}  // namespace

UnfinishedFile::UnfinishedFile(const std::filesystem::path& path) : name_(path.string()) {
  for (std::atomic<const char*>& place : names) {
    const char* free = nullptr;
    if (place.compare_exchange_strong(free, name_.c_str())) break;
  }
  while (ending) ::pause();
}

UnfinishedFile::~UnfinishedFile() {
  ::unlink(name_.c_str());
  for (std::atomic<const char*>& place : names) {
    const char* own = name_.c_str();
    if (place.compare_exchange_strong(own, nullptr)) return;
  }
  while (ending) ::pause();  // a handler reads the name
}

void remove_unfinished_files() noexcept {
  const int error = errno;
  ending = true;
  for (std::atomic<const char*>& place : names)
    if (const char* name = place.exchange(nullptr)) ::unlink(name);
  errno = error;
}

}  // namespace voxshift
