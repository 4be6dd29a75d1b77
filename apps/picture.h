// The command's pictures: labelled points and boxes from above, and a confusion matrix.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/classes.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "found_boxes.h"

namespace voxshift {

/// What a picture shows; the views must outlive the call that draws them.
struct LabelledScan {
  const PointCloud& scan;
  std::span<const std::uint8_t> labels;  ///< [N] train ids, kUnlabelled for none
  std::span<const ClassInfo> classes;    ///< row = train id
  std::string title;                     ///< the name of the scan
};

/// Draws the scan from above, x up and y to the left, with legend, shares and scale bar; returns the bytes of a PNG.
/// The sensor is in the middle, with the 99 % of the points nearest to it, at most 50 m; a cloud that lies far from its
/// origin is shown around its own middle. Points beyond, or with NaN or infinite coordinates, are counted in the legend
/// but not drawn. Throws InvalidArgument where labels are not one per point.
std::vector<std::uint8_t> draw_picture(const LabelledScan& labelled);

/// What a picture of a confusion matrix shows, for C classes.
struct ConfusionPicture {
  std::vector<std::string> names;
  std::vector<std::int64_t> true_points;  ///< [C]
  std::vector<double> iou;                ///< [C], NaN for none
  /// [C, C + 1] row-major: of the points of true class r, the share predicted as c, the last as no class
  std::vector<double> shares;
  std::string title;
};

/// Draws a row per true class and a column per predicted one, each cell with its percentage, and the IoU beside the
/// rows; returns the bytes of a PNG. Throws InvalidArgument where a size is not that of the names.
std::vector<std::uint8_t> draw_confusion(const ConfusionPicture& picture);

/// Draws the boxes of a scan from above, in the colours of their classes over grey points, with a line from the centre
/// to the front, and a legend that counts them; returns the bytes of a PNG. The map is that of draw_picture, wider
/// where boxes are.
std::vector<std::uint8_t> draw_detections(const DetectedScan& detected);

/// A layer in a picture of what i8 costs and gains.
struct LayerMark {
  std::string name;
  double snr = 0;      ///< dB, of the network's outputs where it alone is narrow
  double saved = 0;    ///< milliseconds
  bool narrow = true;  ///< whether it is in the result
};

/// What such a picture shows.
struct SensitivityPicture {
  std::vector<LayerMark> layers;
  std::string title, text;  ///< text: a line below the title
};

/// Draws a mark per layer, the time that it saves to the right and the signal to noise upwards, filled where the layer
/// is narrow, with the names of those that stand out below; returns the bytes of a PNG. Layers whose numbers are not
/// finite are left out.
std::vector<std::uint8_t> draw_sensitivity(const SensitivityPicture& picture);

}  // namespace voxshift
