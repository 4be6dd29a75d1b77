// The classes a model tells apart: name, raw id in label files, colour in pictures.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// Label of a point that has no class: dropped before the network, or outside every class. Raw id 0.
inline constexpr std::uint8_t kUnlabelled = 255;

/// One class. Its position in a table is the train id, the column of the logits.
struct ClassInfo {
  std::string name;
  std::uint32_t raw_id;             ///< what a `.label` file stores
  std::array<std::uint8_t, 3> rgb;  ///< red, green, blue
};

/// The 19 classes of SemanticKITTI in the order of their train ids. Source: semantic-kitti.yaml of the SemanticKITTI
/// API, whose colours are blue, green, red; these are red, green, blue.
const std::vector<ClassInfo>& semantic_kitti_classes();

/// The 16 classes of the nuScenes-lidarseg challenge; raw ids 1 to 16 are what predictions hold. Names, ids and colours
/// of the nuScenes devkit.
const std::vector<ClassInfo>& nuscenes_classes();

/// The 22 classes of the Waymo Open Dataset; raw ids 1 to 22. Source: segmentation.proto; the colours, which it lacks,
/// are SemanticKITTI's where a class is alike.
const std::vector<ClassInfo>& waymo_classes();

/// The 27 gestures of the 20BN-Jester dataset, in the order of TSM's checkpoint. Raw ids are the positions.
const std::vector<ClassInfo>& jester_classes();

/// The 400 actions of the Kinetics-400 dataset in alphabetical order, as TSM numbers them. Raw ids are the positions.
const std::vector<ClassInfo>& kinetics_classes();

/// The 3 classes of KITTI's detection benchmark: car, pedestrian, cyclist, as OpenPCDet has them, and by size:
/// pedestrian, cyclist, car, as mmdetection3d. Raw ids are those of SemanticKITTI's labels.
const std::vector<ClassInfo>& kitti_classes();
const std::vector<ClassInfo>& kitti_classes_by_size();

/// The 10 classes of nuScenes' detection challenge, in CenterPoint's order; raw ids 1 to 10.
const std::vector<ClassInfo>& nuscenes_detection_classes();

/// What classes are of.
enum class ClassTables { kPoints, kVideo, kBoxes };

/// The classes of the data set that has so many: of points 19, 16 and 22 are SemanticKITTI's, nuScenes' and Waymo's, of
/// video 27 and 400 Jester's and Kinetics', of boxes 1 is a car, 3 and 10 KITTI's and nuScenes'; else numbered ones.
std::vector<ClassInfo> classes_for(std::size_t count, ClassTables kind);

/// Colours for tables that have none: neighbours in the table are told apart.
std::array<std::uint8_t, 3> spread_colour(std::size_t index);

}  // namespace voxshift
