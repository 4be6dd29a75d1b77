#include "opencv_map.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <sstream>
#include <utility>

namespace voxshift {
namespace {

constexpr int kTop = 180, kRow = 52, kSwatch = 28;  // of the legend

/// A round length, 1, 2 or 5 times a power of ten, nearest below `metres`.
double round_length(double metres) {
  const double power = std::pow(10.0, std::floor(std::log10(metres)));
  const double lead = metres / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

std::string metres(double length) {
  std::ostringstream text;
  text << length << " m";
  return text.str();
}

/// Rings at round distances from the sensor.
void draw_rings(cv::Mat& map, const Frame& frame) {
  const double step = round_length(frame.half / 2);
  for (double radius = step; frame.has_sensor && radius < frame.half; radius += step) {
    cv::circle(map, frame.pixel(0, 0), static_cast<int>(radius * frame.pixels_per_metre()), kGrid, 2, cv::LINE_AA);
  }
}

void draw_ring_distances(cv::Mat& map, const Frame& frame) {
  const double step = round_length(frame.half / 2);
  for (double radius = step; frame.has_sensor && radius < frame.half; radius += step) {
    const double diagonal = radius / std::sqrt(2.0);
    put_text_on_map(map, metres(radius), frame.pixel(-diagonal, -diagonal) + cv::Point2d(4, 14), 0.6, kFaint);
  }
}

/// An arrow head that points where x grows.
void draw_sensor(cv::Mat& map, const Frame& frame) {
  if (!frame.has_sensor) return;
  const cv::Point at = frame.pixel(0, 0);
  const std::vector<cv::Point> arrow = {at + cv::Point(0, -16), at + cv::Point(11, 13), at + cv::Point(0, 7),
                                        at + cv::Point(-11, 13)};
  cv::fillPoly(map, std::vector<std::vector<cv::Point>>{arrow}, kText, cv::LINE_AA);
  cv::polylines(map, arrow, true, kBackground, 2, cv::LINE_AA);
}

void draw_scale_bar(cv::Mat& map, const Frame& frame) {
  const double length = round_length(frame.half / 2);
  const int pixels = static_cast<int>(length * frame.pixels_per_metre());
  const cv::Point left(kMargin, kMap - kMargin), right = left + cv::Point(pixels, 0);
  cv::rectangle(map, left + cv::Point(-14, -50), right + cv::Point(14, 18), kBackground, cv::FILLED);
  cv::line(map, left, right, kText, 2, cv::LINE_AA);
  for (const cv::Point& end : {left, right}) cv::line(map, end + cv::Point(0, -6), end + cv::Point(0, 6), kText, 2);
  const std::string text = metres(length);
  put_text(map, text, left + cv::Point((pixels - text_width(text, 0.8)) / 2, -16), 0.8, kText);
}

}  // namespace

Frame frame_of(const std::vector<MapPoint>& points) {
  std::vector<float> xs, ys, zs;
  for (const MapPoint& point : points) {
    xs.push_back(point.x);
    ys.push_back(point.y);
    zs.push_back(point.z);
  }
  return {extent_of(std::move(xs), std::move(ys), std::move(zs))};
}

cv::Mat empty_picture() { return {kMap, kMap + kPanel, CV_8UC3, kBackground}; }
cv::Mat map_of(cv::Mat& picture) { return picture.colRange(0, kMap); }
cv::Mat panel_of(cv::Mat& picture) { return picture.colRange(kMap + kMargin / 2, picture.cols); }

void draw_points_on_map(cv::Mat& map, const Frame& frame, std::vector<MapPoint>& points) {
  draw_rings(map, frame);
  std::ranges::sort(points, {}, &MapPoint::z);
  const double near = frame.has_sensor ? 0.3 * frame.half : 0;
  const int far_size = points.size() < 3000 ? 7 : 3;
  const int near_size = std::max(2, far_size - 1);
  for (const MapPoint& point : points) {
    const cv::Point2d at = frame.pixel(point.x, point.y);
    const bool is_near = std::max(std::abs(point.x - frame.x), std::abs(point.y - frame.y)) < near;
    const int size = is_near ? near_size : far_size;
    if (!(at.x >= 0 && at.y >= 0 && at.x <= kMap - size && at.y <= kMap - size)) continue;
    for (int row = 0; row < size; ++row) {
      auto* pixel = map.ptr<cv::Vec3b>(static_cast<int>(at.y) + row) + static_cast<int>(at.x);
      std::fill_n(pixel, size, point.colour);
    }
  }
}

void draw_marks(cv::Mat& map, const Frame& frame, bool has_points) {
  draw_ring_distances(map, frame);
  draw_sensor(map, frame);
  draw_scale_bar(map, frame);
  if (!has_points)
    put_text_on_map(map, "no points", {(kMap - text_width("no points", 1.2)) / 2, kMap / 2 + 80}, 1.2, kFaint);
}

void put_text_on_map(cv::Mat& map, const std::string& text, cv::Point at, double scale, const cv::Scalar& colour) {
  cv::putText(map, text, at, cv::FONT_HERSHEY_DUPLEX, scale, kBackground, 7, cv::LINE_AA);
  put_text(map, text, at, scale, colour);
}

std::string grouped(std::size_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

int draw_panel_head(cv::Mat& panel, const std::string& title, const std::string& below) {
  put_text(panel, fitting(title, 0.9, kPanelWidth), {0, 62}, 0.9, kText);
  put_text(panel, below, {0, 104}, 0.8, kFaint);
  cv::line(panel, {0, 132}, {kPanelWidth, 132}, kGrid, 2);
  return kTop;
}

void draw_legend_row(cv::Mat& panel, int y, const cv::Vec3b& colour, const std::string& name,
                     const std::string& value) {
  cv::rectangle(panel, cv::Rect(0, y - 23, kSwatch, kSwatch), cv::Scalar(colour), cv::FILLED);
  cv::rectangle(panel, cv::Rect(0, y - 23, kSwatch, kSwatch), kFaint, 1);
  put_text(panel, fitting(name, 0.8, kPanelWidth - 170), {kSwatch + 16, y}, 0.8, kText);
  put_text(panel, value, {kPanelWidth - text_width(value, 0.8), y}, 0.8, kFaint);
}

int legend_step(std::size_t rows) { return std::min(kRow, (kMap - kTop) / std::max(1, static_cast<int>(rows))); }

}  // namespace voxshift
