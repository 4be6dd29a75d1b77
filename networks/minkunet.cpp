#include <voxshift/networks/minkunet.h>
#include <voxshift/networks/unet_blocks.h>

namespace voxshift {

Network make_minkunet(double width, int classes, Seed seed) {
  UNet unet(width, seed);
  std::string x = unet.stem();
  std::vector<std::string> skips;
  for (std::size_t i = 1; i <= kUNetLevels; ++i) {
    skips.push_back(x);
    x = unet.down(i, x);
  }
  for (std::size_t u = 1; u <= kUNetLevels; ++u) x = unet.up(u, x, skips[kUNetLevels - u]);
  return unet.net().take(unet.net().linear("classifier.0", x, classes));
}

}  // namespace voxshift
