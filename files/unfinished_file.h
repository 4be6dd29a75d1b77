// Files that are still being written, under names of their own, and their removal whatever ends the writing.
#pragma once

#include <filesystem>

namespace voxshift {

/// A temporary file: removed when it goes out of scope, unless it was renamed before.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::filesystem::path& path);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  std::filesystem::path path() const { return name_; }

 private:
  std::filesystem::path::string_type name_;
};

/// Removes the files of all threads; afterwards none begins another one. For the handler of a signal that ends the
/// process: the library takes no signals.
void remove_unfinished_files() noexcept;

}  // namespace voxshift
