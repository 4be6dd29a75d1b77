// The bird's-eye picture of boxes.
#include <algorithm>
#include <cmath>

#include "picture.h"
#include "scan_map.h"

namespace voxshift {
namespace {

constexpr float kLowest = -2.5f, kHighest = 1;  // metres: heights of the lightest and of the darkest grey

/// Points outside of boxes in grey, darker the higher they are.
std::vector<MapPoint> points_around(const DetectedScan& detected) {
  std::vector<MapPoint> points;
  const auto count = static_cast<std::size_t>(detected.scan.count());
  points.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const float* row = detected.scan.points.data() + i * static_cast<std::size_t>(detected.scan.columns);
    if (!std::isfinite(row[0]) || !std::isfinite(row[1]) || !std::isfinite(row[2])) continue;
    const float share = std::clamp((row[2] - kLowest) / (kHighest - kLowest), 0.0f, 1.0f);
    const auto grey = static_cast<std::uint8_t>(205 - 100 * share);
    points.push_back({row[0], row[1], row[2], {grey, grey, grey}});
  }
  return points;
}

/// The outline, and a line from the centre to the front; white below, so that both show over points.
void draw_box(Canvas& map, const Frame& frame, const Box3d& box, const Rgb& colour) {
  const double c = std::cos(box.yaw), s = std::sin(box.yaw);
  const auto place = [&](double l, double w) {
    const double dx = l * box.length / 2, dy = w * box.width / 2;
    return frame.pixel(box.x + c * dx - s * dy, box.y + s * dx + c * dy);
  };
  const std::vector<Pixel> outline{place(1, 1), place(-1, 1), place(-1, -1), place(1, -1)};
  const std::vector<Pixel> heading{place(0, 0), place(1, 0)};
  for (const bool below : {true, false}) {
    const Rgb& pen = below ? kBackground : colour;
    const int width = below ? 6 : 3;
    map.lines(outline, true, width, pen);
    map.lines(heading, false, width, pen);
  }
}

void draw_box_panel(Canvas& panel, const DetectedScan& detected) {
  const std::size_t total = detected.boxes.size();
  int y = draw_panel_head(panel, detected.title,
                          grouped(static_cast<std::size_t>(detected.scan.count())) + " points, " + grouped(total) +
                              (total == 1 ? " box" : " boxes"));
  for (std::size_t c = 0; c < detected.classes.size(); ++c) {
    const auto count = static_cast<std::size_t>(std::ranges::count(
        detected.boxes, static_cast<std::int32_t>(c), [](const FoundBox& found) { return found.class_id; }));
    draw_legend_row(panel, y, detected.classes[c].rgb, detected.classes[c].name, grouped(count));
    y += legend_step(detected.classes.size());
  }
}

}  // namespace

std::vector<std::uint8_t> draw_detections(const DetectedScan& detected) {
  const auto picture = empty_map();
  std::vector<MapPoint> points = points_around(detected);
  Frame frame = frame_of(points);
  for (const FoundBox& found : detected.boxes)
    frame.half = std::max({frame.half, 1.05 * std::abs(found.box.x - frame.x), 1.05 * std::abs(found.box.y - frame.y)});
  draw_points_on_map(*picture, frame, points);
  for (auto found = detected.boxes.rbegin(); found != detected.boxes.rend(); ++found)
    draw_box(*picture, frame, found->box, detected.classes[static_cast<std::size_t>(found->class_id)].rgb);
  draw_marks(*picture, frame, !points.empty());
  draw_box_panel(*picture, detected);
  return picture->png();
}

}  // namespace voxshift
