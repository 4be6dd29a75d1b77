// Label files: the points' classes as .label (uint32) or nuScenes' .bin (uint8), alone and as pairs to be compared.
#pragma once

#include <voxshift/tasks/protocol.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace voxshift {

/// Train ids of a label file, one per point: .bin holds uint8, every other name uint32 with the raw id in the lower 16
/// bits. Throws IoError "FILE: what is wrong" for a file that is missing, empty or cut and for a raw id that the map
/// does not have.
std::vector<std::uint8_t> read_labels(const std::filesystem::path& path, const LearningMap& map);

/// The label files of a folder by their names without extension: the .label files; where there is none and byte_labels,
/// the .bin files. Throws IoError for what is no folder, and for a folder without label files.
std::map<std::filesystem::path, std::filesystem::path> list_labels(const std::filesystem::path& folder,
                                                                   bool byte_labels);

struct LabelPair {
  std::filesystem::path prediction, truth;
};

/// Every label file of ground truth with the prediction of the same name, sorted by name. A folder holds the files, or
/// is laid out as SemanticKITTI with sequences/SEQUENCE/predictions and sequences/SEQUENCE/labels. They are the .label
/// files; where there is none and the protocol has byte labels, the .bin files. Throws IoError for what is no folder,
/// a folder without label files, a prediction that is missing and one without ground truth.
std::vector<LabelPair> pair_labels(const std::filesystem::path& predictions, const std::filesystem::path& truth,
                                   const std::string& sequence, const Protocol& protocol);

/// Every .txt file of a folder of ground truth with the prediction of the same name, sorted by name. Throws IoError as
/// pair_labels.
std::vector<LabelPair> pair_boxes(const std::filesystem::path& predictions, const std::filesystem::path& truth);

}  // namespace voxshift
