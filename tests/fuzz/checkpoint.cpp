// Bytes as a checkpoint: zip archive, pickles or safetensors, whichever they begin as.
#include <voxshift/checkpoints/checkpoint.h>

#include <set>

#include "fuzz_input.h"

namespace {

using namespace voxshift;

// What a checkpoint holds, each object once.
class Walk {
 public:
  explicit Walk(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void visit(const Value& value, int depth) {
    fuzz::expect(depth <= 100, "objects that are 100 deep at most");
    if (value.identity() != nullptr && !seen_.insert(value.identity()).second) return;
    if (value.is_sequence())
      for (const Value& item : value.as_list()) visit(item, depth + 1);
    if (value.is_dict()) entries(value.as_dict(), depth);
    if (value.is_opaque()) {
      const Opaque& object = value.as_opaque();
      visit(object.arguments, depth + 1);
      visit(object.state, depth + 1);
      for (const Value& item : object.items) visit(item, depth + 1);
      entries(object.entries, depth);
    }
    if (value.is_tensor()) read(value.as_tensor());
  }

 private:
  void entries(const Dict& dict, int depth) {
    for (const auto& [key, value] : dict.items) {
      visit(key, depth + 1);
      visit(value, depth + 1);
    }
    visit(dict.attributes, depth + 1);
  }

  void read(const StoredTensor& tensor) {
    fuzz::may_refuse([&] {
      const Array floats = checkpoint_.f32(tensor);
      fuzz::expect(floats.shape() == tensor.shape, "a tensor of its shape");
    });
    fuzz::may_refuse([&] {
      const std::size_t bytes = checkpoint_.bytes(tensor).size();
      fuzz::expect(bytes == static_cast<std::size_t>(tensor.count()) * size_of(tensor.type), "all elements");
    });
  }

  const Checkpoint& checkpoint_;
  std::set<const void*> seen_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".pth");
  fuzz::may_refuse([&] {
    const Checkpoint checkpoint = Checkpoint::read(file.path());
    Walk(checkpoint).visit(checkpoint.root(), 1);
  });
  return 0;
}
