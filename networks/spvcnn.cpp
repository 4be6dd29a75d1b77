#include <voxshift/networks/spvcnn.h>

namespace voxshift {

std::string point_voxel_unet(NetworkBuilder& net, const std::string& x0, const PointVoxelBlocks& blocks) {
  // voxels at the points + P(points)
  const auto fused = [&](std::size_t k, const std::string& voxels, const std::string& points) {
    const LayerNames names = blocks.point_transform(k);
    const std::string transformed =
        net.norm(names.norm, net.linear(names.layer, points, net.channels(voxels)), names.eps);
    return net.add("points." + std::to_string(k), "add", {voxels, net.relu(names.norm + ".relu", transformed)});
  };

  const std::string x1 = blocks.down(1, x0), x2 = blocks.down(2, x1), x3 = blocks.down(3, x2), x4 = blocks.down(4, x3);
  const std::string z1 = fused(0, net.add("points.0.devoxelize", "devoxelize", {x4, x0}), x0);

  const std::string y1 = blocks.up(1, net.add("points.0.voxelize", "voxelize", {z1, x4}), x3);
  const std::string y2 = blocks.up(2, y1, x2);
  const std::string z2 = fused(1, net.add("points.1.devoxelize", "devoxelize", {y2, x0}), z1);

  const std::string y3 = blocks.up(3, net.add("points.1.voxelize", "voxelize", {z2, y2}), x1);
  const std::string y4 = blocks.up(4, y3, x0);
  return fused(2, y4, z2);
}

Network make_spvcnn(double width, int classes, Seed seed) {
  UNet unet(width, seed);
  const std::string x0 = unet.stem();
  const PointVoxelBlocks blocks{
      [&](std::size_t level, const std::string& x) { return unet.down(level, x); },
      [&](std::size_t step, const std::string& x, const std::string& skip) { return unet.up(step, x, skip); },
      [](std::size_t branch) {
        const std::string name = "point_transforms." + std::to_string(branch);
        return LayerNames{name + ".0", name + ".1"};
      }};
  const std::string z3 = point_voxel_unet(unet.net(), x0, blocks);
  return unet.net().take(unet.net().linear("classifier.0", z3, classes));
}

}  // namespace voxshift
