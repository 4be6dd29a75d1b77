// Bytes as a model file, which runs where it is one. Of an input that begins with JSON the first line is the header,
// whose length is written in front of it.
#include "run_model.h"

namespace {

std::string safetensors(std::string bytes) {
  const std::uint64_t length = bytes.find('\n');
  if (bytes.starts_with('{') && length != bytes.npos)
    bytes.replace(length, 1, "").insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const fuzz::MemoryFile file(safetensors(fuzz::text_of(data, size)), ".safetensors");
  fuzz::may_refuse([&] { fuzz::run(Model::load(file.path())); });
  return 0;
}
