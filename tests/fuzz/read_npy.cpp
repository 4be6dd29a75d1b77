// Bytes as a .npy file: of points, and of any array.
#include <voxshift/files/formats.h>
#include <voxshift/files/read_array.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const std::string bytes = fuzz::text_of(data, size);
  fuzz::may_refuse([&] { fuzz::expect_whole(read_npy("scan.npy", bytes)); });
  const fuzz::MemoryFile file(bytes, ".npy");
  fuzz::may_refuse([&] { fuzz::expect(read_array(file.path()).bytes() <= size, "no more than the file holds"); });
  return 0;
}
