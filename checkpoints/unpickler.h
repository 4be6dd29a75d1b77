// The machine that reads pickles (Python's pickle module, protocols 0 to 5) without Python.
#pragma once

#include <voxshift/checkpoints/byte_reader.h>
#include <voxshift/checkpoints/globals.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace voxshift {

/// Reads one pickle after the other from `bytes`. Works on a stack of its own, so depth costs no recursion. Errors do
/// not name the file.
class Unpickler {
 public:
  /// What a persistent id, which torch.save gives to storages, stands for.
  using PersistentLoad = std::function<Value(Value id)>;

  Unpickler(ByteReader& bytes, Globals& globals, PersistentLoad persistent)
      : bytes_(bytes), globals_(globals), arena_(globals.arena()), persistent_(std::move(persistent)) {}

  /// The object of the next pickle. Throws IoError.
  Value load();

 private:
  bool step(std::uint8_t opcode);
  bool constant(std::uint8_t opcode);
  bool text(std::uint8_t opcode);
  bool container(std::uint8_t opcode);
  bool memory(std::uint8_t opcode);
  bool object(std::uint8_t opcode);
  bool old_object(std::uint8_t opcode);

  void push(Value value);
  Value pop();
  Value& top();
  std::vector<Value> pop_mark();
  void put(std::uint64_t key);
  void get(std::uint64_t key);

  void push_tuple(std::size_t items);
  void push_global(const std::string& module, const std::string& name);
  void push_long(std::string little_endian);
  void push_decimal(const std::string& digits);
  void append(const std::vector<Value>& items);
  void set_items(const std::vector<Value>& items);
  void build();

  ByteReader& bytes_;
  Globals& globals_;
  ValueArena& arena_;
  PersistentLoad persistent_;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value> memo_;
  std::unordered_map<const void*, Value> replaced_;  // placeholders that BUILD made tensors of
};

}  // namespace voxshift
