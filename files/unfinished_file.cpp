#include <voxshift/files/process.h>
#include <voxshift/files/unfinished_file.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace voxshift {
namespace {

// Names by whoever writes: read in a handler of signals, so neither locked nor moved. A file that finds no place stays
// where a signal ends the process.
using Name = const std::filesystem::path::value_type*;
constexpr std::size_t kMostFiles = 64;
std::array<std::atomic<Name>, kMostFiles> names{};
std::atomic<bool> ending{false};
static_assert(std::atomic<Name>::is_always_lock_free);

}  // namespace

UnfinishedFile::UnfinishedFile(const std::filesystem::path& path) : name_(path.native()) {
  for (std::atomic<Name>& place : names) {
    Name free = nullptr;
    if (place.compare_exchange_strong(free, name_.c_str())) break;
  }
  while (ending) wait_for_a_signal();
}

UnfinishedFile::~UnfinishedFile() {
  remove_file(name_.c_str());
  for (std::atomic<Name>& place : names) {
    Name own = name_.c_str();
    if (place.compare_exchange_strong(own, nullptr)) return;
  }
  while (ending) wait_for_a_signal();  // a handler reads the name
}

void remove_unfinished_files() noexcept {
  const int error = errno;
  ending = true;
  for (std::atomic<Name>& place : names)
    if (const Name name = place.exchange(nullptr)) remove_file(name);
  errno = error;
}

}  // namespace voxshift
