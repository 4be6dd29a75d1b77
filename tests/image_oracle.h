// What the operators on images mean, in plain loops with double accumulation. Includes nothing of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace oracle {

/// Channels last.
struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<double> values;

  Image() = default;
  Image(std::int64_t h, std::int64_t w, std::int64_t c)
      : height(h), width(w), channels(c), values(static_cast<std::size_t>(h * w * c), 0.0) {}
  Image(std::int64_t h, std::int64_t w, std::int64_t c, std::vector<double> given)
      : height(h), width(w), channels(c), values(std::move(given)) {}
  double& at(std::int64_t y, std::int64_t x, std::int64_t c) { return values[index(y, x, c)]; }
  double at(std::int64_t y, std::int64_t x, std::int64_t c) const { return values[index(y, x, c)]; }
  bool contains(std::int64_t y, std::int64_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }

 private:
  std::size_t index(std::int64_t y, std::int64_t x, std::int64_t c) const {
    return static_cast<std::size_t>((y * width + x) * channels + c);
  }
};

struct Square {
  std::int64_t kernel = 1, stride = 1, padding = 0;
};

inline std::int64_t out_size(std::int64_t n, const Square& w) {
  return n + 2 * w.padding < w.kernel ? 0 : (n + 2 * w.padding - w.kernel) / w.stride + 1;
}

/// Calls tap(out y, out x, in y, in x, i, j) for every tap inside an image.
inline void for_taps(std::int64_t height, std::int64_t width, const Square& w,
                     const std::function<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                                              std::int64_t)>& tap) {
  for (std::int64_t y = 0; y < out_size(height, w); ++y)
    for (std::int64_t x = 0; x < out_size(width, w); ++x)
      for (std::int64_t i = 0; i < w.kernel; ++i)
        for (std::int64_t j = 0; j < w.kernel; ++j) {
          const std::int64_t from_y = y * w.stride - w.padding + i, from_x = x * w.stride - w.padding + j;
          if (from_y >= 0 && from_y < height && from_x >= 0 && from_x < width) tap(y, x, from_y, from_x, i, j);
        }
}

/// Sums, and the sums of the magnitudes of their terms, which bound the rounding errors.
struct Sums {
  Image value, magnitude;
};

/// Weight [Cout, Cin / groups, k, k]; an empty bias is 0.
inline Sums conv2d(const Image& in, const std::vector<double>& weight, const std::vector<double>& bias,
                   std::int64_t out_channels, const Square& w, std::int64_t groups = 1) {
  Image value(out_size(in.height, w), out_size(in.width, w), out_channels);
  for (std::size_t i = 0; i < value.values.size() && !bias.empty(); ++i) value.values[i] = bias[i % bias.size()];
  Image magnitude = value;
  for (double& x : magnitude.values) x = std::abs(x);
  const std::int64_t inputs = in.channels / groups, outputs = out_channels / groups;
  for_taps(
      in.height, in.width, w,
      [&](std::int64_t y, std::int64_t x, std::int64_t from_y, std::int64_t from_x, std::int64_t i, std::int64_t j) {
        for (std::int64_t o = 0; o < out_channels; ++o)
          for (std::int64_t c = 0; c < inputs; ++c) {
            const auto at = static_cast<std::size_t>(((o * inputs + c) * w.kernel + i) * w.kernel + j);
            const double term = in.at(from_y, from_x, o / outputs * inputs + c) * weight[at];
            value.at(y, x, o) += term;
            magnitude.at(y, x, o) += std::abs(term);
          }
      });
  return {value, magnitude};
}

inline Image max_pool2d(const Image& in, const Square& w) {
  Image out(out_size(in.height, w), out_size(in.width, w), in.channels);
  for (double& x : out.values) x = -HUGE_VAL;
  for_taps(in.height, in.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
    for (std::int64_t c = 0; c < in.channels; ++c)
      out.at(y, x, c) = std::max(out.at(y, x, c), in.at(from_y, from_x, c));
  });
  return out;
}

inline Sums avg_pool2d(const Image& in, const Square& w) {
  Image value(out_size(in.height, w), out_size(in.width, w), in.channels), magnitude = value, taps = value;
  for_taps(in.height, in.width, w, [&](auto y, auto x, auto from_y, auto from_x, auto, auto) {
    for (std::int64_t c = 0; c < in.channels; ++c) {
      value.at(y, x, c) += in.at(from_y, from_x, c);
      magnitude.at(y, x, c) += std::abs(in.at(from_y, from_x, c));
      taps.at(y, x, c) += 1;
    }
  });
  for (std::size_t i = 0; i < taps.values.size(); ++i) {
    value.values[i] /= taps.values[i];
    magnitude.values[i] /= taps.values[i];
  }
  return {value, magnitude};
}

inline Image apply(Image image, const std::function<double(double)>& f) {
  for (double& x : image.values) x = f(x);
  return image;
}

}  // namespace oracle
