// KITTI's label and calibration files: boxes in the frame of a camera, one object a line.
#pragma once

#include <voxshift/tensor/box.h>

#include <array>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace voxshift {

/// An object of a label file.
struct LabelledBox {
  std::string type;                  ///< "Car", "Pedestrian", ..; "DontCare" marks a region of the image and has no box
  Box3d box;                         ///< in the frame of the scan
  float truncation = 0;              ///< share outside the image, 0 to 1
  int occlusion = 0;                 ///< 0 seen, 1 partly, 2 largely hidden, 3 unknown, -1 none given
  std::array<float, 4> image_box{};  ///< left, top, right, bottom, pixels
  float score = std::numeric_limits<float>::quiet_NaN();  ///< of a detection; labels have none
};

/// From the frame of the scan to a camera's: x right, y down, z ahead.
struct KittiCalibration {
  std::array<float, 12> projection;    ///< P2, 3 x 4 row-major: pixels of rectified camera coordinates
  std::array<float, 9> rectification;  ///< R0_rect, 3 x 3
  std::array<float, 12> velo_to_cam;   ///< Tr_velo_to_cam, 3 x 4

  /// A camera in the scanner's place that looks ahead, with the focal length of KITTI's colour camera.
  static KittiCalibration nominal();
};

/// The lines P2, R0_rect (or R_rect) and Tr_velo_to_cam (or Tr_velo_cam) of a calibration file. Throws IoError
/// "FILE: what is missing", "FILE:LINE: what was expected".
KittiCalibration read_kitti_calibration(const std::filesystem::path& path);

/// All lines of such a file, whole or not at all: P0 to P3 are the one camera, the unit of inertia is in the scanner's
/// place. Throws IoError.
void write_kitti_calibration(const std::filesystem::path& path, const KittiCalibration& calibration);

/// The objects of a label file, 15 columns or 16 with scores; an empty file has none. Columns: type, truncated,
/// occluded, alpha, left, top, right, bottom, height, width, length, x, y, z (the bottom's centre, camera), rotation_y,
/// score. As in OpenPCDet, yaw = -rotation_y - pi/2, in -pi to pi. Numbers are at most 1e6. Throws IoError "FILE:LINE:
/// what was expected"; InvalidArgument for a calibration that does not rotate.
std::vector<LabelledBox> read_kitti_labels(const std::filesystem::path& path, const KittiCalibration& calibration);

/// One line an object, whole or not at all, lengths and angles with four decimals. Image boxes are those of the boxes'
/// corners before the camera, in its image of 1242 x 375 (0 0 0 0 outside it); a score that is NaN is left out. Throws
/// IoError; InvalidArgument, and writes nothing, for a type that is not one word and numbers that could not be read.
void write_kitti_labels(const std::filesystem::path& path, const std::vector<LabelledBox>& objects,
                        const KittiCalibration& calibration);

}  // namespace voxshift
