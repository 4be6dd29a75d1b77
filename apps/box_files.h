// The files in which the command writes boxes. Each is complete or absent.
#pragma once

#include <voxshift/files/kitti.h>

#include <filesystem>
#include <span>

#include "found_boxes.h"

namespace voxshift {

/// One JSON object {scan, boxes: [{class, score, center, size, yaw, velocity}]}; metres, radians, metres a second. No
/// velocity where the model finds none.
void write_boxes_json(const std::filesystem::path& path, const DetectedScan& detected, bool with_velocity);

/// KITTI's label file with scores; classes' names begin with a capital, and words are joined by _.
void write_boxes_kitti(const std::filesystem::path& path, const DetectedScan& detected,
                       const KittiCalibration& calibration);

/// Binary .ply of the scan, its points in the boxes' classes, grey outside, and the boxes' edges as points every 5 cm,
/// with a line from the centre to the front.
void write_boxes_ply(const std::filesystem::path& path, const DetectedScan& detected);

/// Of each point the class of the best box that holds it, kUnlabelled outside of all.
std::vector<std::uint8_t> labels_of(const DetectedScan& detected);

}  // namespace voxshift
