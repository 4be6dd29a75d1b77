// Draws what layers cost and gain in i8 and encodes it.
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <opencv2/imgcodecs.hpp>

#include "opencv_text.h"
#include "picture.h"

namespace {

using namespace voxshift;

constexpr int kWidth = 1200, kHeight = 800, kLeft = 96, kRight = 60, kTop = 120, kBottom = 84;
constexpr std::size_t kNamed = 8;
const cv::Scalar kNarrow(180, 116, 44), kWide(60, 60, 210);

/// A range of numbers, and ticks at round ones.
struct Axis {
  double low = 0, high = 1, step = 1;

  Axis(double least, double most) {
    const double span = std::max(most - least, 1e-6);
    const double power = std::pow(10, std::floor(std::log10(span / 4)));
    const double times = span / 4 / power;
    step = power * (times >= 5 ? 5 : times >= 2 ? 2 : 1);
    low = std::floor(least / step) * step;
    high = std::ceil(most / step) * step;
    if (high <= low) high = low + step;
  }
  double share(double value) const { return (value - low) / (high - low); }
};

struct SensitivityChart {
  std::vector<LayerMark> layers;
  Axis saved, snr;

  cv::Point at(const LayerMark& layer) const {
    const double x = kLeft + saved.share(layer.saved) * (kWidth - kLeft - kRight);
    const double y = kHeight - kBottom - snr.share(layer.snr) * (kHeight - kTop - kBottom);
    return {cvRound(x), cvRound(y)};
  }
};

SensitivityChart chart_of(const SensitivityPicture& picture) {
  std::vector<LayerMark> layers;
  std::ranges::copy_if(picture.layers, std::back_inserter(layers),
                       [](const LayerMark& layer) { return std::isfinite(layer.snr) && std::isfinite(layer.saved); });
  double most_saved = 0, least_saved = 0, least = 0, most = 40;
  for (const LayerMark& layer : layers) {
    most_saved = std::max(most_saved, layer.saved);
    least_saved = std::min(least_saved, layer.saved);
    least = std::min(least, layer.snr);
    most = std::max(most, layer.snr);
  }
  return {std::move(layers), Axis(least_saved, most_saved), Axis(least, most)};
}

void draw_axes(cv::Mat& image, const SensitivityChart& chart) {
  const int bottom = kHeight - kBottom, right = kWidth - kRight;
  char text[32];
  for (double value = chart.saved.low; value <= chart.saved.high + chart.saved.step / 2; value += chart.saved.step) {
    const int x = kLeft + cvRound(chart.saved.share(value) * (right - kLeft));
    cv::line(image, {x, kTop}, {x, bottom}, kGrid);
    std::snprintf(text, sizeof(text), "%.4g", std::abs(value) < chart.saved.step / 2 ? 0 : value);
    put_text(image, text, {x - text_width(text, 0.55) / 2, bottom + 26}, 0.55, kFaint);
  }
  for (double value = chart.snr.low; value <= chart.snr.high + chart.snr.step / 2; value += chart.snr.step) {
    const int y = bottom - cvRound(chart.snr.share(value) * (bottom - kTop));
    cv::line(image, {kLeft, y}, {right, y}, kGrid);
    std::snprintf(text, sizeof(text), "%.4g", value);
    put_text(image, text, {kLeft - 12 - text_width(text, 0.55), y + 6}, 0.55, kFaint);
  }
  const std::string across = "milliseconds saved by i8";
  put_text(image, across, {(kLeft + right - text_width(across, 0.65)) / 2, kHeight - 22}, 0.65, kFaint);
  put_text(image, "signal to noise of the outputs, this layer alone in i8, dB", {kLeft, kTop - 14}, 0.6, kFaint);
}

/// The noisiest layers bear their names, where they do not cover each other.
void draw_names(cv::Mat& image, const SensitivityChart& chart) {
  std::vector<LayerMark> worst = chart.layers;
  std::ranges::stable_sort(worst, std::ranges::less(), &LayerMark::snr);
  worst.resize(std::min(worst.size(), kNamed));
  std::vector<cv::Rect> taken;
  for (const LayerMark& layer : worst) {
    const cv::Point mark = chart.at(layer);
    const std::string name = fitting(layer.name, 0.5, 300);
    const int width = text_width(name, 0.5);
    const bool to_left = mark.x + 14 + width > kWidth - 8;
    const cv::Rect place(to_left ? mark.x - 14 - width : mark.x + 14, mark.y - 10, width, 20);
    if (std::ranges::any_of(taken, [&](const cv::Rect& other) { return (other & place).area() > 0; })) continue;
    taken.push_back(place);
    put_text(image, name, {place.x, mark.y + 5}, 0.5, kText);
  }
}

}  // namespace

void voxshift_opencv_draw_sensitivity(const SensitivityPicture& picture, std::vector<std::uint8_t>& png) {
  cv::Mat image(kHeight, kWidth, CV_8UC3, kBackground);
  const SensitivityChart chart = chart_of(picture);
  put_text(image, fitting(picture.title, 0.9, kWidth - 2 * kRight), {28, 44}, 0.9, kText);
  put_text(image, fitting(picture.text, 0.65, kWidth - 2 * kRight), {28, 76}, 0.65, kFaint);
  draw_axes(image, chart);
  for (const LayerMark& layer : chart.layers)
    cv::circle(image, chart.at(layer), 7, layer.narrow ? kNarrow : kWide, layer.narrow ? cv::FILLED : 2, cv::LINE_AA);
  draw_names(image, chart);
  check<Error>(cv::imencode(".png", image, png), "[draw_sensitivity] OpenCV cannot encode a PNG");
}
