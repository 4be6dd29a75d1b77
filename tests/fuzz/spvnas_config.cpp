// Bytes as SPVNAS' net.config.
#include <voxshift/networks/spvnas.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".config");
  fuzz::may_refuse([&] { read_spvnas_config(file.path()); });
  return 0;
}
