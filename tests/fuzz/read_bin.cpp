// Bytes as a .bin file whose width is guessed, and as one of a given width.
#include <voxshift/files/formats.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const std::string bytes = fuzz::text_of(data, size);
  fuzz::may_refuse([&] { fuzz::expect_whole(read_bin("scan.bin", bytes, {})); });
  const int columns = size == 0 ? 0 : data[0] % 8;
  fuzz::may_refuse([&] { fuzz::expect_whole(read_bin("scan.bin", bytes, columns)); });
  return 0;
}
