// Bytes as a label file of KITTI's, which must be written as it was read.
#include <voxshift/files/kitti.h>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voxshift;
  const fuzz::MemoryFile file(fuzz::text_of(data, size), ".txt"), written("", ".written.txt");
  const auto calibration = KittiCalibration::nominal();
  std::vector<LabelledBox> objects;
  fuzz::may_refuse([&] { objects = read_kitti_labels(file.path(), calibration); });
  write_kitti_labels(written.path(), objects, calibration);
  const auto again = read_kitti_labels(written.path(), calibration);
  fuzz::expect(again.size() == objects.size(), "every object again");
  for (std::size_t i = 0; i < again.size(); ++i)
    fuzz::expect(again[i].type == objects[i].type && again[i].occlusion == objects[i].occlusion, "the same objects");
  return 0;
}
