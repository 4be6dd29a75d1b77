#include <voxshift/networks/detector_blocks.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

DetectorNetwork make_pointpillars(const DetectorSpec& spec, Seed seed) {
  DetectorBuilder net(spec, seed);
  check(net.is_one_high(), "[new] pointpillars expects voxels as high as the range, found ", net.extents()[2],
        " on top of each other");
  std::string x = net.bird_eye_view(net.pillars(), net.extents());
  const int stride = spec.pillar_stride == 1 ? 1 : 2;
  x = net.backbone_2d(x, {{3, stride, 64, 1, 128}, {5, 2, 128, 2, 128}, {5, 2, 256, 4, 128}});
  return net.with_anchors(x);
}

}  // namespace voxshift
