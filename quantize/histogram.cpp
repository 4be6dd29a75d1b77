#include <voxshift/quantize/histogram.h>
#include <voxshift/tensor/narrow.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace voxshift {
namespace {

constexpr float kLeastRange = 0x1p-100f, kMostRange = std::numeric_limits<float>::max();
constexpr int kStepsPerOctave = 16, kFineSteps = 8, kOctaves = 6;

}  // namespace

float valid_scale(double scale) {
  constexpr double kLeast = std::numeric_limits<float>::min();
  return static_cast<float>(std::clamp(scale, 2 * kLeast, 0.5 / kLeast));
}

void Histogram::grow() {
  range_ = range_ > kMostRange / 2 ? kMostRange : 2 * range_;
  bins_per_unit_ = static_cast<float>(counts_.size()) / range_;
  const std::size_t half = counts_.size() / 2;
  for (std::size_t b = 0; b < half; ++b) counts_[b] = counts_[2 * b] + counts_[2 * b + 1];
  std::fill(counts_.begin() + static_cast<std::ptrdiff_t>(half), counts_.end(), 0);
}

void Histogram::add(const float* x, std::int64_t count, std::int64_t stride) {
  const auto last = counts_.size() - 1;
  for (std::int64_t i = 0; i < count; ++i) {
    const float size = std::abs(x[i * stride]);
    if (!(size <= std::numeric_limits<float>::max())) {
      ++not_finite_;
      continue;
    }
    if (size == 0) continue;
    if (size > most_) {
      most_ = size;
      if (range_ == 0) {
        range_ = std::clamp(std::exp2(std::ceil(std::log2(size))), kLeastRange, kMostRange);
        bins_per_unit_ = static_cast<float>(counts_.size()) / range_;
      }
      while (size > range_) grow();
    }
    ++counts_[std::min(last, static_cast<std::size_t>(size * bins_per_unit_))];
  }
}

// Within bins wider than a step numbers are taken to lie evenly.
double Histogram::error(double scale) const {
  const double width = 1 / static_cast<double>(bins_per_unit_), clip = kMostI8 * scale;
  double sum = 0;
  for (std::size_t b = 0; b < counts_.size(); ++b) {
    if (counts_[b] == 0) continue;
    const double x = std::min((static_cast<double>(b) + 0.5) * width, static_cast<double>(most_));
    double squared = scale * scale / 12;
    if (x > clip) {
      squared = (x - clip) * (x - clip);
    } else if (scale >= width) {
      const double rest = x - std::floor(x / scale + 0.5) * scale;
      squared = rest * rest;
    }
    sum += static_cast<double>(counts_[b]) * squared;
  }
  return sum;
}

float Histogram::best_scale() const {
  if (most_ == 0) return 1;
  const auto scale_at = [&](double octaves) { return most_ * std::exp2(-octaves) / kMostI8; };
  double best = 0, least = error(scale_at(0));
  const auto attempt = [&](double octaves) {
    const double found = octaves < 0 ? least : error(scale_at(octaves));
    if (found < least) least = found, best = octaves;
  };
  for (int k = 1; k <= kOctaves * kStepsPerOctave; ++k) attempt(static_cast<double>(k) / kStepsPerOctave);
  const double coarse = best;
  for (int k = -kFineSteps; k <= kFineSteps; ++k)
    attempt(coarse + static_cast<double>(k) / (kStepsPerOctave * kFineSteps));
  return valid_scale(scale_at(best));
}

}  // namespace voxshift
