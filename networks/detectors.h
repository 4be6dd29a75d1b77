// Networks that find boxes: SECOND, PointPillars, CenterPoint. They take the points of a scan and make voxels of them
// themselves; maps are images [x, y, channels].
#pragma once

#include <voxshift/detection/detection_head.h>
#include <voxshift/graph/network.h>
#include <voxshift/networks/seed.h>
#include <voxshift/point_voxel/rounding.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace voxshift {

/// Whose layers and names of parameters, where they differ.
enum class DetectorStyle { kMmdet3d, kOpenPcdet };

/// Weights are laid out for x, y, z, where the libraries have z, y, x: 3-D ones are [x y z, Cin, Cout], 2-D ones [Cout,
/// Cin, x, y].
struct DetectorSpec {
  DetectorStyle style = DetectorStyle::kMmdet3d;
  double width = 1;  ///< factor of all channel counts but those of the maps
  int classes = 3;
  std::int64_t columns = 4;           ///< of the points: x y z first
  std::array<float, 3> voxel_size{};  ///< metres; CenterPoint takes pillars where one is as high as the range
  Range range{};                      ///< metres
  std::int64_t max_points = 0;        ///< of a pillar, to which the libraries fill up with zeros; 0: dynamic pillars

  // What other settings of the libraries have. Where nothing is given, the usual.
  std::vector<std::int64_t> pillar_channels = {};  ///< of the layers on points, as the norms have them; width does not
                                                   ///< count; empty: one of 64
  bool hard_vfe = false;                           ///< mmdetection3d's HardVFE in place of its PillarFeatureNet
  std::int64_t pillar_stride = 0;                  ///< of the first 2-D convolution on pillars: 1 or 2
  std::vector<Anchor> anchors = {};                ///< of one cell: SECOND, PointPillars
  std::vector<std::int32_t> groups = {};           ///< how many of the classes, in order, each head has: CenterPoint
  std::optional<bool> pts = {};                    ///< mmdetection3d: whether "pts_" stands before its modules' names;
                                                   ///< none: with nuScenes' settings
  std::optional<bool> velocity = {};               ///< CenterPoint: whether boxes have one; none: with 10 classes
};

/// A network and what its maps mean.
struct DetectorNetwork {
  Network network;
  DetectionHead head;
};

/// SECOND (Yan et al., Sensors 2018): voxels of 1, 2, 4 and 8 cells, two blocks of 2-D layers, anchors. Random weights.
/// Throws InvalidArgument for a width outside [1/32, 8], for a range that is no multiple of 8 voxels along x and y, and
/// for classes that have no anchors: 1 (cars), 3 (KITTI) and with mmdetection3d's style 10 (nuScenes) have, others
/// where `anchors` gives them.
DetectorNetwork make_second(const DetectorSpec& spec, Seed seed);

/// PointPillars (Lang et al., CVPR 2019): pillars, three blocks of 2-D layers, anchors. Throws as make_second.
DetectorNetwork make_pointpillars(const DetectorSpec& spec, Seed seed);

/// CenterPoint (Yin et al., CVPR 2021) on residual sparse convolutions, or on pillars: maps of centres, velocities with
/// 10 classes (nuScenes). With other classes pillars have the blocks of OpenPCDet's settings for Waymo, one cell a
/// pillar. Throws as make_second, but for any number of classes.
DetectorNetwork make_centerpoint(const DetectorSpec& spec, Seed seed);

}  // namespace voxshift
