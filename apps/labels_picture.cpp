// The bird's-eye picture of labels.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <numeric>
#include <sstream>
#include <utility>

#include "class_colours.h"
#include "picture.h"
#include "scan_map.h"

namespace voxshift {
namespace {

std::vector<MapPoint> labelled_points(const LabelledScan& labelled, const std::array<Rgb, 256>& colours) {
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
  Rgb colour;
  std::size_t points;
};

/// The classes present, the largest first, the unlabelled last.
std::vector<LegendRow> legend_of(const LabelledScan& labelled, const std::array<Rgb, 256>& colours) {
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

void draw_label_panel(Canvas& panel, const LabelledScan& labelled, const std::array<Rgb, 256>& colours) {
  const std::size_t total = labelled.labels.size();
  int y = draw_panel_head(panel, labelled.title, total == 1 ? "1 point" : grouped(total) + " points");
  const auto rows = legend_of(labelled, colours);
  for (const LegendRow& row : rows) {
    draw_legend_row(panel, y, row.colour, row.name, percent(row.points, total));
    y += legend_step(rows.size());
  }
}

}  // namespace

std::vector<std::uint8_t> draw_picture(const LabelledScan& labelled) {
  check(static_cast<std::int64_t>(labelled.labels.size()) == labelled.scan.count(), "[draw_picture] expected ",
        labelled.scan.count(), " labels, found ", labelled.labels.size());
  const auto picture = empty_map();
  const auto colours = colours_of(labelled.classes);
  std::vector<MapPoint> points = labelled_points(labelled, colours);
  const Frame frame = frame_of(points);
  draw_points_on_map(*picture, frame, points);
  draw_marks(*picture, frame, !points.empty());
  draw_label_panel(*picture, labelled, colours);
  return picture->png();
}

}  // namespace voxshift
