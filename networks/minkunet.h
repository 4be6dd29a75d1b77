// MinkUNet: the sparse residual U-Net of Choy et al. (CVPR 2019) in the form of spvnas.
#pragma once

#include <voxshift/networks/network_builder.h>

namespace voxshift {

/// Channels int(width * [32, 32, 64, 128, 256, 256, 128, 96, 96]); names of the parameters as in spvnas' checkpoints.
/// Weights are uniform as torchsparse initialises them, batch norm is the identity. Throws InvalidArgument for a width
/// outside [1/32, 8].
Network make_minkunet(double width, int classes, Seed seed);

}  // namespace voxshift
