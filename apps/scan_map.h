// The map that pictures of scans share: x up, y to the left, rings, sensor, scale bar.
#pragma once

#include <string>
#include <vector>

#include "canvas.h"
#include "scan_extent.h"

namespace voxshift {

inline constexpr int kMap = 1400;   ///< side of the map
inline constexpr int kPanel = 460;  ///< width of the legend beside it
inline constexpr int kMapMargin = 32;

/// What the map shows.
struct Frame : ScanExtent {
  double pixels_per_metre() const { return kMap / (2 * half); }
  double column(double py) const { return kMap / 2.0 - (py - y) * pixels_per_metre(); }
  double row(double px) const { return kMap / 2.0 - (px - x) * pixels_per_metre(); }
  Pixel pixel(double px, double py) const {
    return {static_cast<int>(std::lrint(column(py))), static_cast<int>(std::lrint(row(px)))};
  }
};

struct MapPoint {
  float x, y, z;
  Rgb colour;
};

Frame frame_of(const std::vector<MapPoint>& points);

/// An empty picture for a map and a panel to its right, of which the map is drawn on.
std::unique_ptr<Canvas> empty_map();

/// Points over rings at round distances, low points first. Squares of 2 pixels near the sensor, where points are dense,
/// 3 farther out, 7 in a sparse scan.
void draw_points_on_map(Canvas& map, const Frame& frame, std::vector<MapPoint>& points);

/// The rings' distances, the sensor, the scale bar; "no points" where there are none.
void draw_marks(Canvas& map, const Frame& frame, bool has_points);

/// 123389 as 123,389.
std::string grouped(std::size_t number);

/// Title, a line below it, and the place of the first row of the legend. The panel is drawn on from then on.
int draw_panel_head(Canvas& picture, const std::string& title, const std::string& below);

/// A row of the legend.
void draw_legend_row(Canvas& panel, int y, const Rgb& colour, const std::string& name, const std::string& value);

/// The distance of that many rows.
int legend_step(std::size_t rows);

}  // namespace voxshift
