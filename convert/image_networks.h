// Networks on single images whose checkpoints are converted.
#pragma once

#include <voxshift/graph/network.h>

#include <cstdint>

namespace voxshift {

/// ResNet for CIFAR (He et al., CVPR 2016, section 4.2) as akamaster/pytorch_resnet_cifar10 has it: three stages of
/// `blocks` blocks, whose shortcuts leave out every second pixel and pad channels with zeros. Tensors without contents.
Network make_cifar_resnet(std::int64_t blocks, std::int64_t classes);

/// The slim face detector of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB: of four resolutions, the finest first,
/// the maps of scores, channels a * classes + c, and of boxes, a * 4 + i, for the priors a of a cell. Outputs are named
/// as the layers: classification_headers.0.2, regression_headers.0.2, .. Tensors without contents.
Network make_slim_face_detector(std::int64_t width, std::int64_t classes);

}  // namespace voxshift
