// Checkpoints of PyTorch, read without it.
#pragma once

#include <voxshift/checkpoints/value.h>
#include <voxshift/tensor/array.h>

#include <filesystem>
#include <memory>
#include <span>

namespace voxshift {

struct CheckpointContent;

/// A checkpoint: .pth, .pt, .pth.tar, .ckpt, .t7, .th, .pkl or .safetensors; the content decides, not the suffix.
/// Copies share what was read. Values are in memory, tensors' bytes are read from the file when they are asked for, so
/// the file must stay as it is. Safe to use from several threads.
class Checkpoint {
 public:
  /// Reads torch.save's zip archive (PyTorch 1.6 and later) and its older form, a pickle alone, and safetensors.
  /// Nothing is imported or called: what is neither number, string, container nor tensor is an Opaque. Memory is
  /// bounded by the file's size. Throws IoError "FILE: what is wrong": damaged, a libtorch archive (TorchScript), a tar
  /// of PyTorch 0.1, objects that hold themselves, or no object but a call that is not made (it is named).
  static Checkpoint read(const std::filesystem::path& path);

  const Value& root() const;
  const std::filesystem::path& path() const;
  /// "zip", "legacy" (torch.save before 1.6), "pickle" or "safetensors".
  const char* format() const;

  /// The tensor on the CPU, row-major, rounded to f32 where its type is another; `tensor` must be of this checkpoint.
  /// Throws IoError where the file ends early or has changed, or where a view repeats more elements than the file has
  /// bytes.
  Array f32(const StoredTensor& tensor) const;

  /// The elements row-major as they are stored, little-endian: count() * size_of(type) bytes. Throws as f32() does.
  std::vector<std::byte> bytes(const StoredTensor& tensor) const;

  /// A storage as it is: for callers that keep views of it. Throws as f32() does.
  std::size_t storages() const;
  std::size_t storage_bytes(std::size_t storage) const;
  void read_storage(std::size_t storage, std::size_t offset, std::span<std::byte> out) const;

 private:
  explicit Checkpoint(std::shared_ptr<const CheckpointContent> content) : content_(std::move(content)) {}
  void check_repeats(const StoredTensor& tensor) const;

  std::shared_ptr<const CheckpointContent> content_;
};

}  // namespace voxshift
