// Bytes as a calibration of KITTI's; one that is taken serves to read and write labels.
#include <voxshift/files/kitti.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".txt"), written("", ".written.txt");
  fuzz::may_refuse([&] {
    const KittiCalibration calibration = read_kitti_calibration(file.path());
    write_kitti_labels(written.path(), {{.type = "Car", .box = {10, 1, -1, 4, 2, 1.5F, 1}}}, calibration);
    fuzz::expect(read_kitti_labels(written.path(), calibration).size() == 1, "the object again");
  });
  return 0;
}
