// Bytes as a .pcd file.
#include <voxshift/files/formats.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const std::string bytes = fuzz::text_of(data, size);
  fuzz::may_refuse([&] {
    std::vector<OtherField> others;
    fuzz::expect_whole(read_pcd("scan.pcd", bytes, &others));
  });
  return 0;
}
