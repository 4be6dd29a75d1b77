// Draws the bird's-eye picture and encodes it.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <numeric>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <sstream>
#include <utility>

#include "class_colours.h"
#include "opencv_text.h"
#include "picture.h"
#include "scan_extent.h"

namespace {

using namespace voxshift;

constexpr int kMap = 1400;   // side of the map
constexpr int kPanel = 460;  // width of the legend beside it
constexpr int kMargin = 32;

/// What the picture shows: x up, y to the left.
struct Frame : ScanExtent {
  double pixels_per_metre() const { return kMap / (2 * half); }
  cv::Point2d pixel(double px, double py) const {
    return {kMap / 2.0 - (py - y) * pixels_per_metre(), kMap / 2.0 - (px - x) * pixels_per_metre()};
  }
};

struct MapPoint {
  float x, y, z;
  std::uint8_t label;
};

Frame frame_of(const std::vector<MapPoint>& points) {
  std::vector<float> xs, ys, zs;
  for (const MapPoint& point : points) {
    xs.push_back(point.x);
    ys.push_back(point.y);
    zs.push_back(point.z);
  }
  return {extent_of(std::move(xs), std::move(ys), std::move(zs))};
}

std::vector<MapPoint> finite_points(const LabelledScan& labelled) {
  std::vector<MapPoint> points;
  points.reserve(labelled.labels.size());
  for (std::size_t i = 0; i < labelled.labels.size(); ++i) {
    const float* row = labelled.scan.points.data() + i * static_cast<std::size_t>(labelled.scan.columns);
    if (!std::isfinite(row[0]) || !std::isfinite(row[1]) || !std::isfinite(row[2])) continue;
    points.push_back({row[0], row[1], row[2], labelled.labels[i]});
  }
  return points;
}

/// [256] pixels, blue green red.
std::array<cv::Vec3b, 256> pixels_of(std::span<const ClassInfo> classes) {
  std::array<cv::Vec3b, 256> pixels;
  std::ranges::transform(colours_of(classes), pixels.begin(),
                         [](const Rgb& rgb) { return cv::Vec3b(rgb[2], rgb[1], rgb[0]); });
  return pixels;
}

/// A round length, 1, 2 or 5 times a power of ten, nearest below `metres`.
double round_length(double metres) {
  const double power = std::pow(10.0, std::floor(std::log10(metres)));
  const double lead = metres / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

/// Text that stays readable over points.
void put_text_on_map(cv::Mat& map, const std::string& text, cv::Point at, double scale, const cv::Scalar& colour) {
  cv::putText(map, text, at, cv::FONT_HERSHEY_DUPLEX, scale, kBackground, 7, cv::LINE_AA);
  put_text(map, text, at, scale, colour);
}

std::string metres(double length) {
  std::ostringstream text;
  text << length << " m";
  return text.str();
}

/// 123389 as 123,389.
std::string grouped(std::size_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
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

/// Squares of 2 pixels near the sensor, where points are dense, 3 farther out, 7 in a sparse scan; low points first, so
/// that what stands on the ground stays visible.
void draw_points(cv::Mat& map, const Frame& frame, std::vector<MapPoint>& points,
                 const std::array<cv::Vec3b, 256>& colours) {
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
      std::fill_n(pixel, size, colours[point.label]);
    }
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

struct LegendRow {
  std::string name;
  cv::Vec3b colour;
  std::size_t points;
};

/// The classes present, the largest first, the unlabelled last.
std::vector<LegendRow> legend_of(const LabelledScan& labelled, const std::array<cv::Vec3b, 256>& colours) {
  std::array<std::size_t, 256> counts{};
  for (const std::uint8_t label : labelled.labels) ++counts[label];
  std::vector<LegendRow> rows;
  const std::size_t classes = std::min(labelled.classes.size(), std::size_t{kUnlabelled});
  for (std::size_t id = 0; id < classes; ++id) {
    if (counts[id] > 0) rows.push_back({labelled.classes[id].name, colours[id], counts[id]});
  }
  std::ranges::stable_sort(rows, std::ranges::greater(), &LegendRow::points);
  const std::size_t unlabelled =
      std::accumulate(counts.begin() + static_cast<std::ptrdiff_t>(classes), counts.end(), std::size_t{0});
  if (unlabelled > 0) rows.push_back({"unlabelled", colours[kUnlabelled], unlabelled});
  return rows;
}

std::string percent(std::size_t part, std::size_t whole) {
  const double share = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (share < 0.1) return "< 0.1 %";
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << share << " %";
  return text.str();
}

void draw_panel(cv::Mat panel, const LabelledScan& labelled, const std::array<cv::Vec3b, 256>& colours) {
  constexpr int kWidth = kPanel - kMargin - kMargin / 2, kTop = 180, kRow = 52, kSwatch = 28;
  const std::size_t total = labelled.labels.size();
  put_text(panel, fitting(labelled.title, 0.9, kWidth), {0, 62}, 0.9, kText);
  put_text(panel, total == 1 ? "1 point" : grouped(total) + " points", {0, 104}, 0.8, kFaint);
  cv::line(panel, {0, 132}, {kWidth, 132}, kGrid, 2);
  const auto rows = legend_of(labelled, colours);
  const int step = std::min(kRow, (kMap - kTop) / std::max(1, static_cast<int>(rows.size())));
  int y = kTop;
  for (const LegendRow& row : rows) {
    cv::rectangle(panel, cv::Rect(0, y - 23, kSwatch, kSwatch), cv::Scalar(row.colour), cv::FILLED);
    cv::rectangle(panel, cv::Rect(0, y - 23, kSwatch, kSwatch), kFaint, 1);
    put_text(panel, fitting(row.name, 0.8, kWidth - 170), {kSwatch + 16, y}, 0.8, kText);
    const std::string share = percent(row.points, total);
    put_text(panel, share, {kWidth - text_width(share, 0.8), y}, 0.8, kFaint);
    y += step;
  }
}

}  // namespace

void voxshift_opencv_draw(const LabelledScan& labelled, std::vector<std::uint8_t>& png) {
  cv::Mat image(kMap, kMap + kPanel, CV_8UC3, kBackground);
  cv::Mat map = image.colRange(0, kMap);
  const auto colours = pixels_of(labelled.classes);
  std::vector<MapPoint> points = finite_points(labelled);
  const Frame frame = frame_of(points);
  draw_rings(map, frame);
  draw_points(map, frame, points, colours);
  draw_ring_distances(map, frame);
  draw_sensor(map, frame);
  draw_scale_bar(map, frame);
  if (points.empty())
    put_text_on_map(map, "no points", {(kMap - text_width("no points", 1.2)) / 2, kMap / 2 + 80}, 1.2, kFaint);
  draw_panel(image.colRange(kMap + kMargin / 2, image.cols), labelled, colours);
  check<Error>(cv::imencode(".png", image, png), "[draw_picture] OpenCV cannot encode a PNG");
}
