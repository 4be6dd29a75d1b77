// The map that pictures of scans share: x up, y to the left, rings, sensor, scale bar.
#pragma once

#include <array>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "opencv_text.h"
#include "scan_extent.h"

namespace voxshift {

inline constexpr int kMap = 1400;   ///< side of the map
inline constexpr int kPanel = 460;  ///< width of the legend beside it
inline constexpr int kMargin = 32;

/// What the picture shows.
struct Frame : ScanExtent {
  double pixels_per_metre() const { return kMap / (2 * half); }
  cv::Point2d pixel(double px, double py) const {
    return {kMap / 2.0 - (py - y) * pixels_per_metre(), kMap / 2.0 - (px - x) * pixels_per_metre()};
  }
};

struct MapPoint {
  float x, y, z;
  cv::Vec3b colour;  ///< blue, green, red
};

Frame frame_of(const std::vector<MapPoint>& points);

/// An empty map with rings around the sensor, and a panel to its right.
cv::Mat empty_picture();
cv::Mat map_of(cv::Mat& picture);
cv::Mat panel_of(cv::Mat& picture);

/// Points over rings at round distances, low points first. Squares of 2 pixels near the sensor, where points are dense,
/// 3 farther out, 7 in a sparse scan.
void draw_points_on_map(cv::Mat& map, const Frame& frame, std::vector<MapPoint>& points);

/// The rings' distances, the sensor, the scale bar; "no points" where there are none.
void draw_marks(cv::Mat& map, const Frame& frame, bool has_points);

/// Text that stays readable over points.
void put_text_on_map(cv::Mat& map, const std::string& text, cv::Point at, double scale, const cv::Scalar& colour);

/// 123389 as 123,389.
std::string grouped(std::size_t number);

/// Title, a line below it, and the place of the first row of the legend.
int draw_panel_head(cv::Mat& panel, const std::string& title, const std::string& below);
inline constexpr int kPanelWidth = kPanel - kMargin - kMargin / 2;

/// A row of the legend.
void draw_legend_row(cv::Mat& panel, int y, const cv::Vec3b& colour, const std::string& name, const std::string& value);

/// The distance of that many rows.
int legend_step(std::size_t rows);

}  // namespace voxshift
