// TSM networks (Lin et al., ICCV 2019) with random weights.
#pragma once

#include <voxshift/networks/network_builder.h>
#include <voxshift/temporal_shift/temporal_shift.h>

namespace voxshift {

struct TsmSpec {
  double width = 1.0;  ///< 1/16 to 4: factor of all channel counts, rounded to multiples of 8 as MobileNetV2 does
  int classes = 27;
  TemporalShift shift;  ///< online unless bidirectional
};

/// MobileNetV2 (Sandler et al., CVPR 2018) with the shift before the expansion of the 10 blocks that have a residual
/// and an expansion. Parameter names are those of TSM's Jester checkpoint: features.0.0.weight,
/// features.3.conv.0.weight, classifier.weight .. Throws InvalidArgument for a width out of range.
Network make_tsm_mobilenetv2(const TsmSpec& spec, Seed seed);

/// ResNet50 (He et al., CVPR 2016; the stride on the 3 x 3 convolutions, as in torchvision) with the shift before conv1
/// of all 16 bottlenecks ("blockres"). Parameter names are those of torchvision, as TSM's checkpoints have them below
/// module.base_model: conv1.weight, layer1.0.conv1.weight, .., new_fc.weight. Throws InvalidArgument for a width out of
/// range.
Network make_tsm_resnet50(const TsmSpec& spec, Seed seed);

}  // namespace voxshift
