// PVCNN: point-voxel networks for the parts of objects and of rooms (Liu et al., NeurIPS 2019).
#pragma once

#include <voxshift/networks/network_builder.h>

#include <cstdint>

namespace voxshift {

enum class PvcnnVariant {
  kS3dis,     ///< scenes: 4096 points of a block
  kShapeNet,  ///< objects, whose kind is known: 2048 points within [-1, 1]
};

/// A network of the family. Channels are int(width * c), cells per axis int(resolution * r); classes stay.
struct PvcnnSpec {
  PvcnnVariant variant = PvcnnVariant::kS3dis;
  double width = 1;
  double resolution = 1;
  std::int64_t in_channels = 9;  ///< x y z first; shapenet: with the shapes
  int classes = 13;
  int shapes = 0;  ///< shapenet: the last columns, one per kind of object

  /// x y z, colours, x y z within the room; 13 classes.
  static PvcnnSpec s3dis() { return {}; }

  /// x y z, normals, one of 16 kinds of object; 50 parts.
  static PvcnnSpec shapenet() { return {PvcnnVariant::kShapeNet, 1, 1, 22, 50, 16}; }
};

/// PVCNN with random weights; names of the parameters as in PVCNN's checkpoints. Throws InvalidArgument for a width or
/// resolution outside [1/32, 8], where a layer would have no channels, and for too few columns.
Network make_pvcnn(const PvcnnSpec& spec, Seed seed);

/// PVCNN++ of S3DIS: set abstraction and feature propagation of PointNet++ with point-voxel convolutions between them,
/// for 8192 points of a block. Uses width, resolution, in_channels (at least 4) and classes of the spec.
Network make_pvcnn2(const PvcnnSpec& spec, Seed seed);

}  // namespace voxshift
