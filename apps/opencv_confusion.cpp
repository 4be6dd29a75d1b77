// Draws a confusion matrix and encodes it.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <opencv2/imgcodecs.hpp>

#include "opencv_text.h"
#include "picture.h"

namespace {

using namespace voxshift;

constexpr int kCell = 46, kMargin = 28, kTitle = 116, kAxis = 36, kGap = 12, kMostOfName = 240;
constexpr double kNameScale = 0.62, kCellScale = 0.5;
const cv::Scalar kNoPoints(244, 242, 240);

/// Where things are: a cell per class and class, then a column for points that got no class where there are any.
struct Layout {
  int classes, columns;
  int names = text_width("unlabelled", kNameScale);  ///< length of the longest

  explicit Layout(const ConfusionPicture& picture) : classes(static_cast<int>(picture.names.size())), columns(classes) {
    for (const std::string& name : picture.names)
      names = std::max(names, text_width(fitting(name, kNameScale, kMostOfName), kNameScale));
    for (int row = 0; row < classes; ++row)
      if (share(picture, row, classes) > 0) columns = classes + 1;
  }
  static double share(const ConfusionPicture& picture, int row, int column) {
    return picture
        .shares[static_cast<std::size_t>(row) * (picture.names.size() + 1) + static_cast<std::size_t>(column)];
  }
  int left() const { return kMargin + kAxis + names + kGap; }
  int top() const { return kTitle + kAxis + names + kGap; }
  cv::Rect cell(int row, int column) const { return {left() + column * kCell, top() + row * kCell, kCell, kCell}; }
  int iou_right() const { return cell(0, columns).x + 84; }
  cv::Size size() const { return {iou_right() + kMargin, cell(classes, 0).y + kMargin}; }
};

/// White to dark blue by the square root of the share, so that 2 % shows.
cv::Scalar colour_of(double share) {
  const cv::Scalar stops[] = {{255, 255, 255}, {226, 188, 140}, {180, 116, 44}, {96, 40, 12}};
  const double at = 3 * std::sqrt(std::clamp(share, 0.0, 1.0));
  const int stop = std::min(2, static_cast<int>(at));
  return stops[stop] + (stops[stop + 1] - stops[stop]) * (at - stop);
}

void draw_cell(cv::Mat& image, const cv::Rect& cell, double share) {
  cv::rectangle(image, cell, colour_of(share), cv::FILLED);
  if (share == 0) return;
  const double percent = 100 * share;
  char text[16];
  std::snprintf(text, sizeof(text), percent < 0.05 ? "0" : percent < 9.95 ? "%.1f" : "%.0f", percent);
  const cv::Point at(cell.x + (kCell - text_width(text, kCellScale)) / 2, cell.y + kCell / 2 + 6);
  put_text(image, text, at, kCellScale, share > 0.25 ? kBackground : kText);
}

/// The name ends left of row `row`.
void draw_row_name(cv::Mat& image, const Layout& layout, int row, const std::string& name) {
  const std::string text = fitting(name, kNameScale, layout.names);
  put_text(image, text, {layout.left() - kGap - text_width(text, kNameScale), layout.cell(row, 0).y + kCell / 2 + 7},
           kNameScale, kText);
}

/// The name stands above column `column`, read from below.
void draw_column_name(cv::Mat& image, const Layout& layout, int column, const std::string& name) {
  cv::Mat strip(kCell, layout.names + kGap, CV_8UC3, kBackground), turned;
  put_text(strip, fitting(name, kNameScale, layout.names), {kGap, kCell / 2 + 7}, kNameScale, kText);
  cv::rotate(strip, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
  turned.copyTo(image(cv::Rect(layout.cell(0, column).x, layout.top() - strip.cols, turned.cols, turned.rows)));
}

void draw_titles(cv::Mat& image, const Layout& layout, const std::string& title) {
  put_text(image, fitting(title, 0.9, image.cols - 2 * kMargin), {kMargin, 48}, 0.9, kText);
  put_text(image, "% of the true points of each row; grey: no true points", {kMargin, 82}, 0.7, kFaint);
  const std::string across = "predicted";
  const int width = layout.columns * kCell;
  put_text(image, across, {layout.left() + (width - text_width(across, 0.75)) / 2, kTitle + 22}, 0.75, kFaint);
  cv::Mat strip(kAxis, layout.classes * kCell, CV_8UC3, kBackground), turned;
  const std::string down = "true class";
  put_text(strip, down, {(strip.cols - text_width(down, 0.75)) / 2, 22}, 0.75, kFaint);
  cv::rotate(strip, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
  turned.copyTo(image(cv::Rect(kMargin - kGap, layout.top(), turned.cols, turned.rows)));
}

void draw_iou(cv::Mat& image, const Layout& layout, int row, double iou) {
  char text[16] = "-";
  if (!std::isnan(iou)) std::snprintf(text, sizeof(text), "%.1f", 100 * iou);
  put_text(image, text, {layout.iou_right() - text_width(text, kNameScale), layout.cell(row, 0).y + kCell / 2 + 7},
           kNameScale, kText);
}

}  // namespace

void voxshift_opencv_draw_confusion(const ConfusionPicture& picture, std::vector<std::uint8_t>& png) {
  const Layout layout(picture);
  cv::Mat image(layout.size(), CV_8UC3, kBackground);
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
        cv::rectangle(image, layout.cell(row, column), kNoPoints, cv::FILLED);
      }
    }
  }
  if (layout.columns > layout.classes) draw_column_name(image, layout, layout.classes, "unlabelled");
  put_text(image, "IoU %", {layout.iou_right() - text_width("IoU %", kNameScale), layout.top() - 12}, kNameScale,
           kFaint);
  for (int row = 0; row <= layout.classes; ++row)
    cv::line(image, layout.cell(row, 0).tl(), layout.cell(row, layout.columns).tl(), kGrid);
  for (int column = 0; column <= layout.columns; ++column)
    cv::line(image, layout.cell(0, column).tl(), layout.cell(layout.classes, column).tl(), kGrid);
  // OpenCV's own choice, made for speed on photographs, is twice as large.
  const std::vector<int> small = {cv::IMWRITE_PNG_COMPRESSION, 9, cv::IMWRITE_PNG_STRATEGY,
                                  cv::IMWRITE_PNG_STRATEGY_DEFAULT};
  check<Error>(cv::imencode(".png", image, png, small), "[draw_confusion] OpenCV cannot encode a PNG");
}
