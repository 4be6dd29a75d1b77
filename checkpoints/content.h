// What stands behind a Checkpoint.
#pragma once

#include <voxshift/checkpoints/checkpoint.h>
#include <voxshift/checkpoints/value_arena.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace voxshift {

/// The file that storages lie in: a zip archive's entries, or ranges of the file. Errors do not name the file.
class StorageFile {
 public:
  virtual ~StorageFile() = default;
  /// Fills `out` from byte `offset` of the storage at `position`, an entry's number or the first byte. Throws IoError.
  virtual void read(std::uint64_t position, std::uint64_t offset, std::span<std::byte> out) = 0;
};

/// Bytes of tensors: in memory, or at `position` of the file.
struct Storage {
  std::uint64_t bytes = 0;
  const char* memory = nullptr;
  std::uint64_t position = 0;
};

struct CheckpointContent {
  std::filesystem::path path;
  std::uint64_t file_bytes = 0;
  const char* format = "";
  ValueArena arena;
  Value root;
  std::vector<Storage> storages;
  std::unique_ptr<StorageFile> file;  ///< safe to use from several threads
};

/// A tensor that is all of a storage, one-dimensional.
StoredTensor whole_storage(ScalarType type, std::size_t storage, std::uint64_t bytes);

/// All of a storage from its first element, whose rows, or columns first, follow each other; throws IoError as
/// view_of().
StoredTensor dense_view(const CheckpointContent& content, ScalarType type, Shape shape, std::size_t storage,
                        bool columns_first = false);

/// A view of the storage; throws IoError where shape or stride is negative, or an element lies outside it.
StoredTensor view_of(const CheckpointContent& content, StoredTensor tensor);

/// Refuses objects that hold themselves, are nested too deep, or would grow without bound where each place that refers
/// to an object had a copy; keys that are there twice. An object of a class that holds itself becomes a bare
/// placeholder there. Throws IoError.
void check_values(CheckpointContent& content);

/// Fill content by the file, whose path and size are set. Throw IoError "what is wrong".
void read_zip(CheckpointContent& content);
void read_pickles(CheckpointContent& content);
void read_tensor_file(CheckpointContent& content);

}  // namespace voxshift
