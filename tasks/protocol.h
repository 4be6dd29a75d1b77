// How a data set is scored: its classes, the raw ids of its label files, and what a class counts that does not occur.
#pragma once

#include <voxshift/tasks/classes.h>
#include <voxshift/tasks/confusion.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// Train id of every raw id that a label file may hold; kUnlabelled for those that are ignored.
using LearningMap = std::map<std::uint32_t, std::uint8_t>;

struct Protocol {
  std::string name;
  std::vector<ClassInfo> classes;
  LearningMap truth;        ///< raw ids of ground truth
  LearningMap predictions;  ///< raw ids of predictions: those of ground truth too, except nuScenes' 1 to 16
  AbsentClass absent = AbsentClass::kZero;
  bool byte_labels = false;  ///< the data set's own label files are .bin of uint8, not .label of uint32
};

/// "semantickitti" as its official evaluator (semantic-kitti.yaml: lane markings are road, buses and rail vehicles
/// other vehicles, moving classes their resting ones), "spvnas" as that code scores the same files (lane markings,
/// buses and rail vehicles are ignored, a class without a true point scores 1), "nuscenes" (lidarseg, 32 raw ids to 16
/// classes), "waymo" (22 classes, 0 is ignored). The last two leave absent classes out of the mean.
const std::vector<Protocol>& known_protocols();

/// A known protocol by name. Throws InvalidArgument.
const Protocol& find_protocol(const std::string& name);

/// Train ids of the words of a label file: raw id in the lower 16 bits, instance in the upper ones. Throws
/// InvalidArgument with the place of the first id that the map does not have.
std::vector<std::uint8_t> train_ids(std::span<const std::uint32_t> words, const LearningMap& map);

}  // namespace voxshift
