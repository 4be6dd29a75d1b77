// PointNet++: hierarchical features of point clouds (Qi et al., NeurIPS 2017).
#pragma once

#include <voxshift/networks/pvcnn.h>

namespace voxshift {

/// The multi-scale network (MSG) for the parts of ShapeNet's objects, in the form and with the names of PVCNN's code:
/// two set abstractions of three and two scales, one over the whole cloud, three feature propagations. Uses width,
/// in_channels, classes and shapes of the spec; the columns between x y z and the shapes are the first features, the
/// shapes join at the last propagation. Throws InvalidArgument for a width outside [1/32, 8] and too few columns.
Network make_pointnet2(const PvcnnSpec& spec, Seed seed);

}  // namespace voxshift
