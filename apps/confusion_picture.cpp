// The picture of a confusion matrix.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "canvas.h"
#include "picture.h"

namespace voxshift {
namespace {

constexpr int kCell = 46, kEdge = 28, kTitle = 116, kAxis = 36, kGap = 12, kMostOfName = 240;
constexpr double kNameScale = 0.62, kCellScale = 0.5;
constexpr Rgb kNoPoints = {240, 242, 244};

/// Where things are: a cell per class and class, then a column for points that got no class where there are any.
struct Layout {
  int classes, columns;
  int names;  ///< length of the longest

  Layout(const ConfusionPicture& picture, const Canvas& canvas)
      : classes(static_cast<int>(picture.names.size())),
        columns(classes),
        names(canvas.text_width("unlabelled", kNameScale)) {
    for (const std::string& name : picture.names)
      names = std::max(names, canvas.text_width(canvas.fitting(name, kNameScale, kMostOfName), kNameScale));
    for (int row = 0; row < classes; ++row)
      if (share(picture, row, classes) > 0) columns = classes + 1;
  }
  static double share(const ConfusionPicture& picture, int row, int column) {
    return picture
        .shares[static_cast<std::size_t>(row) * (picture.names.size() + 1) + static_cast<std::size_t>(column)];
  }
  int left() const { return kEdge + kAxis + names + kGap; }
  int top() const { return kTitle + kAxis + names + kGap; }
  Pixel cell(int row, int column) const { return {left() + column * kCell, top() + row * kCell}; }
  int iou_right() const { return cell(0, columns).x + 84; }
  int width() const { return iou_right() + kEdge; }
  int height() const { return cell(classes, 0).y + kEdge; }
};

/// White to dark blue by the square root of the share, so that 2 % shows.
Rgb colour_of(double share) {
  const double stops[4][3] = {{255, 255, 255}, {140, 188, 226}, {44, 116, 180}, {12, 40, 96}};
  const double at = 3 * std::sqrt(std::clamp(share, 0.0, 1.0));
  const int stop = std::min(2, static_cast<int>(at));
  Rgb colour;
  for (std::size_t i = 0; i < 3; ++i)
    colour[i] =
        static_cast<std::uint8_t>(std::lrint(stops[stop][i] + (stops[stop + 1][i] - stops[stop][i]) * (at - stop)));
  return colour;
}

void draw_cell(Canvas& image, Pixel cell, double share) {
  image.fill(cell, kCell, kCell, colour_of(share));
  if (share == 0) return;
  const double percent = 100 * share;
  char text[16];
  std::snprintf(text, sizeof(text), percent < 0.05 ? "0" : percent < 9.95 ? "%.1f" : "%.0f", percent);
  const Pixel at{cell.x + (kCell - image.text_width(text, kCellScale)) / 2, cell.y + kCell / 2 + 6};
  image.text(text, at, kCellScale, share > 0.25 ? kBackground : kText);
}

/// The name ends left of row `row`.
void draw_row_name(Canvas& image, const Layout& layout, int row, const std::string& name) {
  const std::string text = image.fitting(name, kNameScale, layout.names);
  image.text(text, {layout.left() - kGap - image.text_width(text, kNameScale), layout.cell(row, 0).y + kCell / 2 + 7},
             kNameScale, kText);
}

/// The name stands above column `column`, read from below.
void draw_column_name(Canvas& image, const Layout& layout, int column, const std::string& name) {
  const int length = layout.names + kGap;
  image.text_upwards({layout.cell(0, column).x, layout.top() - length}, kCell, length,
                     image.fitting(name, kNameScale, layout.names), {kGap, kCell / 2 + 7}, kNameScale, kText);
}

void draw_titles(Canvas& image, const Layout& layout, const std::string& title) {
  image.text(image.fitting(title, 0.9, layout.width() - 2 * kEdge), {kEdge, 48}, 0.9, kText);
  image.text("% of the true points of each row; grey: no true points", {kEdge, 82}, 0.7, kFaint);
  const std::string across = "predicted";
  const int width = layout.columns * kCell;
  image.text(across, {layout.left() + (width - image.text_width(across, 0.75)) / 2, kTitle + 22}, 0.75, kFaint);
  const std::string down = "true class";
  const int length = layout.classes * kCell;
  image.text_upwards({kEdge - kGap, layout.top()}, kAxis, length, down,
                     {(length - image.text_width(down, 0.75)) / 2, 22}, 0.75, kFaint);
}

void draw_iou(Canvas& image, const Layout& layout, int row, double iou) {
  char text[16] = "-";
  if (!std::isnan(iou)) std::snprintf(text, sizeof(text), "%.1f", 100 * iou);
  image.text(text, {layout.iou_right() - image.text_width(text, kNameScale), layout.cell(row, 0).y + kCell / 2 + 7},
             kNameScale, kText);
}

void draw_grid(Canvas& image, const Layout& layout) {
  for (int row = 0; row <= layout.classes; ++row)
    image.rule(layout.cell(row, 0), layout.cell(row, layout.columns), 1, kGrid);
  for (int column = 0; column <= layout.columns; ++column)
    image.rule(layout.cell(0, column), layout.cell(layout.classes, column), 1, kGrid);
}

void check_confusion(const ConfusionPicture& picture) {
  const std::size_t classes = picture.names.size();
  check(picture.true_points.size() == classes && picture.iou.size() == classes &&
            picture.shares.size() == classes * (classes + 1),
        "[draw_confusion] expected points and IoU of ", classes, " classes and ", classes * (classes + 1),
        " shares, found ", picture.true_points.size(), ", ", picture.iou.size(), " and ", picture.shares.size());
}

}  // namespace

std::vector<std::uint8_t> draw_confusion(const ConfusionPicture& picture) {
  check_confusion(picture);
  const Layout layout(picture, *make_canvas(1, 1));
  const auto canvas = make_canvas(layout.width(), layout.height());
  Canvas& image = *canvas;
  draw_titles(image, layout, picture.title);
  for (int row = 0; row < layout.classes; ++row) {
    const auto c = static_cast<std::size_t>(row);
    draw_row_name(image, layout, row, picture.names[c]);
    draw_column_name(image, layout, row, picture.names[c]);
    draw_iou(image, layout, row, picture.iou[c]);
    for (int column = 0; column < layout.columns; ++column) {
      if (picture.true_points[c] > 0) {
        draw_cell(image, layout.cell(row, column), Layout::share(picture, row, column));
      } else {
        image.fill(layout.cell(row, column), kCell, kCell, kNoPoints);
      }
    }
  }
  if (layout.columns > layout.classes) draw_column_name(image, layout, layout.classes, "unlabelled");
  image.text("IoU %", {layout.iou_right() - image.text_width("IoU %", kNameScale), layout.top() - 12}, kNameScale,
             kFaint);
  draw_grid(image, layout);
  return image.png();
}

}  // namespace voxshift
