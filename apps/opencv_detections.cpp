// Draws the bird's-eye picture of boxes and encodes it.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <sstream>

#include "opencv_map.h"
#include "picture.h"

namespace {

using namespace voxshift;

constexpr float kLowest = -2.5f, kHighest = 1;  // metres: heights of the lightest and of the darkest grey

cv::Vec3b colour_of(const ClassInfo& info) { return {info.rgb[2], info.rgb[1], info.rgb[0]}; }

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
void draw_box(cv::Mat& map, const Frame& frame, const Box3d& box, const cv::Scalar& colour) {
  const double c = std::cos(box.yaw), s = std::sin(box.yaw);
  const auto place = [&](double l, double w) {
    const double dx = l * box.length / 2, dy = w * box.width / 2;
    return cv::Point(frame.pixel(box.x + c * dx - s * dy, box.y + s * dx + c * dy));
  };
  const std::vector<cv::Point> outline{place(1, 1), place(-1, 1), place(-1, -1), place(1, -1)};
  const std::vector<cv::Point> heading{place(0, 0), place(1, 0)};
  for (const bool below : {true, false}) {
    const cv::Scalar& pen = below ? kBackground : colour;
    const int width = below ? 6 : 3;
    cv::polylines(map, outline, true, pen, width, cv::LINE_AA);
    cv::polylines(map, heading, false, pen, width, cv::LINE_AA);
  }
}

void draw_box_panel(cv::Mat panel, const DetectedScan& detected) {
  const std::size_t total = detected.boxes.size();
  int y = draw_panel_head(panel, detected.title,
                          grouped(static_cast<std::size_t>(detected.scan.count())) + " points, " + grouped(total) +
                              (total == 1 ? " box" : " boxes"));
  for (std::size_t c = 0; c < detected.classes.size(); ++c) {
    const auto count = static_cast<std::size_t>(std::ranges::count(
        detected.boxes, static_cast<std::int32_t>(c), [](const FoundBox& found) { return found.class_id; }));
    draw_legend_row(panel, y, colour_of(detected.classes[c]), detected.classes[c].name, grouped(count));
    y += legend_step(detected.classes.size());
  }
}

}  // namespace

void voxshift_opencv_draw_detections(const DetectedScan& detected, std::vector<std::uint8_t>& png) {
  cv::Mat image = empty_picture(), map = map_of(image);
  std::vector<MapPoint> points = points_around(detected);
  Frame frame = frame_of(points);
  for (const FoundBox& found : detected.boxes)
    frame.half = std::max({frame.half, 1.05 * std::abs(found.box.x - frame.x), 1.05 * std::abs(found.box.y - frame.y)});
  draw_points_on_map(map, frame, points);
  for (auto found = detected.boxes.rbegin(); found != detected.boxes.rend(); ++found)
    draw_box(map, frame, found->box,
             cv::Scalar(colour_of(detected.classes[static_cast<std::size_t>(found->class_id)])));
  draw_marks(map, frame, !points.empty());
  draw_box_panel(panel_of(image), detected);
  check<Error>(cv::imencode(".png", image, png), "[draw_detections] OpenCV cannot encode a PNG");
}
