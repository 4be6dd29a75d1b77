// SPVCNN: a sparse U-Net with a fine point branch beside it (Tang et al., ECCV 2020).
#pragma once

#include <voxshift/networks/unet_blocks.h>

#include <cstdint>
#include <functional>
#include <string>

namespace voxshift {

/// MinkUNet with one point per input voxel: the points join the voxels at strides 16, 4 and 1 and go back into them at
/// 16 and 4. Voxelize and devoxelize at stride 1 are identities and left out. Channels and names of the parameters as
/// in make_minkunet and spvnas' checkpoints; dropout is the identity at inference. Throws InvalidArgument for a width
/// outside [1/32, 8].
Network make_spvcnn(double width, int classes, Seed seed);

/// The pieces that SPVCNN and SPVNAS make in their own ways.
struct PointVoxelBlocks {
  std::function<std::string(std::size_t level, const std::string& x)> down;
  std::function<std::string(std::size_t step, const std::string& x, const std::string& skip)> up;
  std::function<LayerNames(std::size_t branch)> point_transform;
};

/// Voxels and points from the stem's output x0 to the value before the classifier:
///   z1 = devoxelize(x4) + P0(x0), y1 = up1(voxelize(z1), x3), y2 = up2(y1, x2),
///   z2 = devoxelize(y2) + P1(z1), y3 = up3(voxelize(z2), x1), y4 = up4(y3, x0), z3 = y4 + P2(z2),
/// with x1..x4 on the way down and Pk linear, batch norm and ReLU.
std::string point_voxel_unet(NetworkBuilder& net, const std::string& x0, const PointVoxelBlocks& blocks);

}  // namespace voxshift
