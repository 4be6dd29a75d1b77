// The picture of what layers cost and gain in i8.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "canvas.h"
#include "picture.h"

namespace voxshift {
namespace {

constexpr int kChartWidth = 1200, kChartHeight = 800, kLeft = 96, kRight = 60, kTop = 120, kBottom = 84;
constexpr std::size_t kNamed = 8;
constexpr Rgb kNarrow = {44, 116, 180}, kWide = {210, 60, 60};

int rounded(double value) { return static_cast<int>(std::lrint(value)); }

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

  Pixel at(const LayerMark& layer) const {
    const double x = kLeft + saved.share(layer.saved) * (kChartWidth - kLeft - kRight);
    const double y = kChartHeight - kBottom - snr.share(layer.snr) * (kChartHeight - kTop - kBottom);
    return {rounded(x), rounded(y)};
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

void draw_axes(Canvas& image, const SensitivityChart& chart) {
  const int bottom = kChartHeight - kBottom, right = kChartWidth - kRight;
  char text[32];
  for (double value = chart.saved.low; value <= chart.saved.high + chart.saved.step / 2; value += chart.saved.step) {
    const int x = kLeft + rounded(chart.saved.share(value) * (right - kLeft));
    image.rule({x, kTop}, {x, bottom}, 1, kGrid);
    std::snprintf(text, sizeof(text), "%.4g", std::abs(value) < chart.saved.step / 2 ? 0 : value);
    image.text(text, {x - image.text_width(text, 0.55) / 2, bottom + 26}, 0.55, kFaint);
  }
  for (double value = chart.snr.low; value <= chart.snr.high + chart.snr.step / 2; value += chart.snr.step) {
    const int y = bottom - rounded(chart.snr.share(value) * (bottom - kTop));
    image.rule({kLeft, y}, {right, y}, 1, kGrid);
    std::snprintf(text, sizeof(text), "%.4g", value);
    image.text(text, {kLeft - 12 - image.text_width(text, 0.55), y + 6}, 0.55, kFaint);
  }
  const std::string across = "milliseconds saved by i8";
  image.text(across, {(kLeft + right - image.text_width(across, 0.65)) / 2, kChartHeight - 22}, 0.65, kFaint);
  image.text("signal to noise of the outputs, this layer alone in i8, dB", {kLeft, kTop - 14}, 0.6, kFaint);
}

/// Where a name stands, 20 pixels high.
struct Taken {
  int x, y, width;

  bool overlaps(const Taken& other) const {
    return x < other.x + other.width && other.x < x + width && std::abs(y - other.y) < 20;
  }
};

/// The noisiest layers bear their names, where they do not cover each other.
void draw_names(Canvas& image, const SensitivityChart& chart) {
  std::vector<LayerMark> worst = chart.layers;
  std::ranges::stable_sort(worst, std::ranges::less(), &LayerMark::snr);
  worst.resize(std::min(worst.size(), kNamed));
  std::vector<Taken> taken;
  for (const LayerMark& layer : worst) {
    const Pixel mark = chart.at(layer);
    const std::string name = image.fitting(layer.name, 0.5, 300);
    const int width = image.text_width(name, 0.5);
    const bool to_left = mark.x + 14 + width > kChartWidth - 8;
    const Taken place{to_left ? mark.x - 14 - width : mark.x + 14, mark.y - 10, width};
    if (std::ranges::any_of(taken, [&](const Taken& other) { return other.overlaps(place); })) continue;
    taken.push_back(place);
    image.text(name, {place.x, mark.y + 5}, 0.5, kText);
  }
}

}  // namespace

std::vector<std::uint8_t> draw_sensitivity(const SensitivityPicture& picture) {
  const auto canvas = make_canvas(kChartWidth, kChartHeight);
  Canvas& image = *canvas;
  const SensitivityChart chart = chart_of(picture);
  image.text(image.fitting(picture.title, 0.9, kChartWidth - 2 * kRight), {28, 44}, 0.9, kText);
  image.text(image.fitting(picture.text, 0.65, kChartWidth - 2 * kRight), {28, 76}, 0.65, kFaint);
  draw_axes(image, chart);
  for (const LayerMark& layer : chart.layers)
    image.circle(chart.at(layer), 7, layer.narrow ? 0 : 2, layer.narrow ? kNarrow : kWide);
  draw_names(image, chart);
  return image.png();
}

}  // namespace voxshift
