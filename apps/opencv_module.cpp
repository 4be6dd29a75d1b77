// Draws the bird's-eye picture of labels and encodes it.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <numeric>
#include <opencv2/imgcodecs.hpp>
#include <sstream>
#include <utility>

#include "class_colours.h"
#include "opencv_map.h"
#include "picture.h"

namespace {

using namespace voxshift;

/// [256] pixels, blue green red.
std::array<cv::Vec3b, 256> pixels_of(std::span<const ClassInfo> classes) {
  std::array<cv::Vec3b, 256> pixels;
  std::ranges::transform(colours_of(classes), pixels.begin(),
                         [](const Rgb& rgb) { return cv::Vec3b(rgb[2], rgb[1], rgb[0]); });
  return pixels;
}

std::vector<MapPoint> labelled_points(const LabelledScan& labelled, const std::array<cv::Vec3b, 256>& colours) {
  std::vector<MapPoint> points;
  points.reserve(labelled.labels.size());
  for (std::size_t i = 0; i < labelled.labels.size(); ++i) {
    const float* row = labelled.scan.points.data() + i * static_cast<std::size_t>(labelled.scan.columns);
    if (!std::isfinite(row[0]) || !std::isfinite(row[1]) || !std::isfinite(row[2])) continue;
    points.push_back({row[0], row[1], row[2], colours[labelled.labels[i]]});
  }
  return points;
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

void draw_label_panel(cv::Mat panel, const LabelledScan& labelled, const std::array<cv::Vec3b, 256>& colours) {
  const std::size_t total = labelled.labels.size();
  int y = draw_panel_head(panel, labelled.title, total == 1 ? "1 point" : grouped(total) + " points");
  const auto rows = legend_of(labelled, colours);
  for (const LegendRow& row : rows) {
    draw_legend_row(panel, y, row.colour, row.name, percent(row.points, total));
    y += legend_step(rows.size());
  }
}

}  // namespace

void voxshift_opencv_draw(const LabelledScan& labelled, std::vector<std::uint8_t>& png) {
  cv::Mat image = empty_picture(), map = map_of(image);
  const auto colours = pixels_of(labelled.classes);
  std::vector<MapPoint> points = labelled_points(labelled, colours);
  const Frame frame = frame_of(points);
  draw_points_on_map(map, frame, points);
  draw_marks(map, frame, !points.empty());
  draw_label_panel(panel_of(image), labelled, colours);
  check<Error>(cv::imencode(".png", image, png), "[draw_picture] OpenCV cannot encode a PNG");
}
