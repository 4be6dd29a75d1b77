#include "scan_map.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

namespace voxshift {
namespace {

constexpr int kLegendTop = 180, kLegendRow = 52, kSwatch = 28;
constexpr int kPanelWidth = kPanel - kMapMargin - kMapMargin / 2;

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
void draw_rings(Canvas& map, const Frame& frame) {
  const double step = round_length(frame.half / 2);
  for (double radius = step; frame.has_sensor && radius < frame.half; radius += step) {
    map.circle(frame.pixel(0, 0), static_cast<int>(radius * frame.pixels_per_metre()), 2, kGrid);
  }
}

void draw_ring_distances(Canvas& map, const Frame& frame) {
  const double step = round_length(frame.half / 2);
  for (double radius = step; frame.has_sensor && radius < frame.half; radius += step) {
    const double diagonal = radius / std::sqrt(2.0);
    map.text(metres(radius), frame.pixel(-diagonal, -diagonal) + Pixel{4, 14}, 0.6, kFaint, true);
  }
}

/// An arrow head that points where x grows.
void draw_sensor(Canvas& map, const Frame& frame) {
  if (!frame.has_sensor) return;
  const Pixel at = frame.pixel(0, 0);
  const std::vector<Pixel> arrow = {at + Pixel{0, -16}, at + Pixel{11, 13}, at + Pixel{0, 7}, at + Pixel{-11, 13}};
  map.polygon(arrow, kText);
  map.lines(arrow, true, 2, kBackground);
}

void draw_scale_bar(Canvas& map, const Frame& frame) {
  const double length = round_length(frame.half / 2);
  const int pixels = static_cast<int>(length * frame.pixels_per_metre());
  const Pixel left{kMapMargin, kMap - kMapMargin}, right = left + Pixel{pixels, 0};
  map.fill(left + Pixel{-14, -50}, pixels + 29, 69, kBackground);
  map.lines(std::vector{left, right}, false, 2, kText);
  for (const Pixel& end : {left, right}) map.rule(end + Pixel{0, -6}, end + Pixel{0, 6}, 2, kText);
  const std::string text = metres(length);
  map.text(text, left + Pixel{(pixels - map.text_width(text, 0.8)) / 2, -16}, 0.8, kText);
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

std::unique_ptr<Canvas> empty_map() {
  auto picture = make_canvas(kMap + kPanel, kMap);
  picture->draw_on_columns(0, kMap);
  return picture;
}

void draw_points_on_map(Canvas& map, const Frame& frame, std::vector<MapPoint>& points) {
  draw_rings(map, frame);
  std::ranges::sort(points, {}, &MapPoint::z);
  const double near = frame.has_sensor ? 0.3 * frame.half : 0;
  const int far_size = points.size() < 3000 ? 7 : 3;
  const int near_size = std::max(2, far_size - 1);
  for (const MapPoint& point : points) {
    const double column = frame.column(point.y), row = frame.row(point.x);
    const bool is_near = std::max(std::abs(point.x - frame.x), std::abs(point.y - frame.y)) < near;
    const int size = is_near ? near_size : far_size;
    if (!(column >= 0 && row >= 0 && column <= kMap - size && row <= kMap - size)) continue;
    map.fill({static_cast<int>(column), static_cast<int>(row)}, size, size, point.colour);
  }
}

void draw_marks(Canvas& map, const Frame& frame, bool has_points) {
  draw_ring_distances(map, frame);
  draw_sensor(map, frame);
  draw_scale_bar(map, frame);
  if (!has_points)
    map.text("no points", {(kMap - map.text_width("no points", 1.2)) / 2, kMap / 2 + 80}, 1.2, kFaint, true);
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

int draw_panel_head(Canvas& picture, const std::string& title, const std::string& below) {
  picture.draw_on_columns(kMap + kMapMargin / 2, kPanel - kMapMargin / 2);
  picture.text(picture.fitting(title, 0.9, kPanelWidth), {0, 62}, 0.9, kText);
  picture.text(below, {0, 104}, 0.8, kFaint);
  picture.rule({0, 132}, {kPanelWidth, 132}, 2, kGrid);
  return kLegendTop;
}

void draw_legend_row(Canvas& panel, int y, const Rgb& colour, const std::string& name, const std::string& value) {
  panel.fill({0, y - 23}, kSwatch, kSwatch, colour);
  panel.outline({0, y - 23}, kSwatch, kSwatch, kFaint);
  panel.text(panel.fitting(name, 0.8, kPanelWidth - 170), {kSwatch + 16, y}, 0.8, kText);
  panel.text(value, {kPanelWidth - panel.text_width(value, 0.8), y}, 0.8, kFaint);
}

int legend_step(std::size_t rows) {
  return std::min(kLegendRow, (kMap - kLegendTop) / std::max(1, static_cast<int>(rows)));
}

}  // namespace voxshift
