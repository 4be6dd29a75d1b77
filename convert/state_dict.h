// The tensors of a checkpoint by their names.
#pragma once

#include <voxshift/checkpoints/checkpoint.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// The tensors of a model, which are read when they are asked for.
class StateDict {
 public:
  /// The state dict in a checkpoint: the file itself, or what is under "state_dict", "model_state", "model" and the
  /// like, one within another; else averages of the weights ("ema" ..), else the only one, whatever its key. Throws
  /// IoError "FILE: .." where there is none, or several of such keys.
  static StateDict find(const Checkpoint& checkpoint);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return tensors_.contains(name); }

  /// Throws InvalidArgument, which names the tensor, where it is missing.
  const Shape& shape(const std::string& name) const;
  Array f32(const std::string& name) const;

  /// The extent of an axis. Throws InvalidArgument, which names the tensor, where it has none or nothing along it.
  std::int64_t extent(const std::string& name, std::size_t axis) const;

  /// The shapes of all tensors, as f32 arrays without contents: for functions that read widths from shapes.
  std::map<std::string, Array> shapes() const;

  /// What PyTorch wrote down beside a module's tensors (`_metadata`).
  std::optional<std::int64_t> version(const std::string& module) const;

  /// The tensors whose names begin with the prefix, without it.
  StateDict under(const std::string& prefix) const;

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const std::string& place() const { return place_; }    ///< keys that lead to it: "model", "" of the file itself
  const std::string& prefix() const { return prefix_; }  ///< what under() took away: "module."
  const std::vector<std::string>& notes() const { return notes_; }  ///< what else was there, a line each

 private:
  explicit StateDict(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  void take(const Dict& dict);

  std::optional<Checkpoint> checkpoint_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::int64_t> versions_;
  std::string place_, prefix_;
  std::vector<std::string> notes_;
};

}  // namespace voxshift
