// Camera frames of every format, and FramePreparer's equations as loops in double precision.
#pragma once

#include <gtest/gtest.h>
#include <voxshift/streaming/frame_preparer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace voxshift {

inline constexpr std::array kFormats{PixelFormat::kRgb,  PixelFormat::kBgr,  PixelFormat::kRgba, PixelFormat::kBgra,
                                     PixelFormat::kNv12, PixelFormat::kNv21, PixelFormat::kI420, PixelFormat::kYuv420};
inline constexpr std::array kColours{YuvColours::kBt601, YuvColours::kBt601Full, YuvColours::kBt709,
                                     YuvColours::kBt709Full};

inline bool is_yuv(PixelFormat format) { return format >= PixelFormat::kNv12; }

/// The profile of a network that takes height x width pixels of pictures whose shorter side is `resize`.
inline FrameProfile profile_of(std::int64_t height, std::int64_t width, std::int64_t resize) {
  FrameProfile profile;
  profile.height = height;
  profile.width = width;
  profile.resize = resize;
  return profile;
}

/// A picture of noise in memory of its own: each plane has exactly the bytes that it needs.
struct OwnedFrame {
  CameraFrame frame;
  std::array<std::unique_ptr<std::uint8_t[]>, 3> memory;
};

/// `gap` bytes lie between rows, and between the chroma of kYuv420 one, too.
inline OwnedFrame noise_frame(PixelFormat format, std::int64_t width, std::int64_t height, int gap = 0,
                              unsigned seed = 1) {
  OwnedFrame owned;
  owned.frame = {format, width, height};
  const std::int64_t columns = (width + 1) / 2, rows = (height + 1) / 2;
  std::mt19937 random(seed);
  const auto add = [&](std::size_t plane, std::int64_t across, std::int64_t down, std::int64_t bytes,
                       std::int64_t step) {
    const std::int64_t row = (across - 1) * step + bytes, stride = row + gap, size = (down - 1) * stride + row;
    owned.memory[plane] = std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) owned.memory[plane][i] = static_cast<std::uint8_t>(random());
    owned.frame.planes[plane] = {owned.memory[plane].get(), static_cast<std::size_t>(size), stride, step};
  };
  const int bytes = format <= PixelFormat::kBgr ? 3 : format <= PixelFormat::kBgra ? 4 : 1;
  add(0, width, height, bytes, bytes);
  if (format == PixelFormat::kNv12 || format == PixelFormat::kNv21) add(1, columns, rows, 2, 2);
  if (format >= PixelFormat::kI420)
    for (const std::size_t plane : {1, 2})
      add(plane, columns, rows, 1, format == PixelFormat::kYuv420 && gap > 0 ? 2 : 1);
  return owned;
}

using Colour = std::array<double, 3>;

/// A picture of colours, row after row.
struct Picture {
  std::int64_t height = 0, width = 0;
  std::vector<Colour> colours;

  const Colour& at(std::int64_t y, std::int64_t x) const { return colours[static_cast<std::size_t>(y * width + x)]; }
};

/// R - Y, B - Y and so G of the standard's two numbers, between 0 and 255, not rounded.
inline Colour colour_of(int y, int u, int v, YuvColours colours) {
  const bool high = colours == YuvColours::kBt709 || colours == YuvColours::kBt709Full;
  const bool full = colours == YuvColours::kBt601Full || colours == YuvColours::kBt709Full;
  const double red_share = high ? 0.2126 : 0.299, blue_share = high ? 0.0722 : 0.114;
  const double luma = full ? y : (std::max(y, 16) - 16) * 255.0 / 219, chroma = full ? 1 : 255.0 / 224;
  const double red = luma + 2 * (1 - red_share) * (v - 128) * chroma;
  const double blue = luma + 2 * (1 - blue_share) * (u - 128) * chroma;
  const double green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share);
  return {std::clamp(red, 0.0, 255.0), std::clamp(green, 0.0, 255.0), std::clamp(blue, 0.0, 255.0)};
}

inline int byte_of(const FramePlane& plane, std::int64_t y, std::int64_t x, std::int64_t offset = 0) {
  return plane.data[y * plane.row_stride + x * plane.pixel_stride + offset];
}

/// As it lies in memory; Y'CbCr rounded to levels.
inline Picture colours_of(const CameraFrame& frame) {
  Picture picture{frame.height, frame.width, {}};
  const bool turned = frame.format == PixelFormat::kBgr || frame.format == PixelFormat::kBgra;
  for (std::int64_t y = 0; y < frame.height; ++y)
    for (std::int64_t x = 0; x < frame.width; ++x) {
      const auto& planes = frame.planes;
      const auto first = [&](int c) { return byte_of(planes[0], y, x, c); };
      const auto chroma = [&](std::size_t plane, int c) { return byte_of(planes[plane], y / 2, x / 2, c); };
      Colour colour;
      if (!is_yuv(frame.format))
        colour = {double(first(turned ? 2 : 0)), double(first(1)), double(first(turned ? 0 : 2))};
      else if (frame.format == PixelFormat::kNv12)
        colour = colour_of(first(0), chroma(1, 0), chroma(1, 1), frame.colours);
      else if (frame.format == PixelFormat::kNv21)
        colour = colour_of(first(0), chroma(1, 1), chroma(1, 0), frame.colours);
      else
        colour = colour_of(first(0), chroma(1, 0), chroma(2, 0), frame.colours);
      for (double& level : colour) level = std::round(level);
      picture.colours.push_back(colour);
    }
  return picture;
}

/// Turned clockwise by 90 degrees: the left column, from below, is the row at the top.
inline Picture quarter_turn(const Picture& picture) {
  Picture turned{picture.width, picture.height, {}};
  for (std::int64_t y = 0; y < turned.height; ++y)
    for (std::int64_t x = 0; x < turned.width; ++x) turned.colours.push_back(picture.at(picture.height - 1 - x, y));
  return turned;
}

/// Pixels of an axis and their shares of output o, of `from` pixels scaled to `to`.
inline std::vector<std::pair<std::int64_t, double>> shares_of(std::int64_t o, std::int64_t from, std::int64_t to,
                                                              bool grows) {
  const double step = static_cast<double>(from) / static_cast<double>(to);
  std::vector<std::pair<std::int64_t, double>> shares;
  for (std::int64_t i = 0; i < from; ++i) {
    const auto at = static_cast<double>(i);
    double share = std::min(at + 1, static_cast<double>(o + 1) * step) - std::max(at, static_cast<double>(o) * step);
    share /= step;
    const double place = std::clamp((static_cast<double>(o) + 0.5) * step - 0.5, 0.0, static_cast<double>(from - 1));
    if (grows) share = 1 - std::abs(place - at);
    if (share > 1e-9) shares.emplace_back(i, share);
  }
  return shares;
}

/// The middle of the upright, scaled picture, not rounded.
inline Picture prepared_picture(const CameraFrame& frame, const FrameProfile& profile) {
  Picture picture = colours_of(frame);
  for (int turned = 0; turned < frame.rotation; turned += 90) picture = quarter_turn(picture);
  const std::int64_t shorter = std::min(picture.height, picture.width);
  const std::int64_t height = profile.resize * picture.height / shorter,
                     width = profile.resize * picture.width / shorter;
  const bool grows = profile.resize > shorter;
  Picture result{profile.height, profile.width, {}};
  for (std::int64_t y = 0; y < profile.height; ++y)
    for (std::int64_t x = 0; x < profile.width; ++x) {
      Colour sum{};
      for (const auto& [row, down] : shares_of(y + (height - profile.height) / 2, picture.height, height, grows))
        for (const auto& [column, across] : shares_of(x + (width - profile.width) / 2, picture.width, width, grows))
          for (std::size_t c = 0; c < 3; ++c) sum[c] += down * across * picture.at(row, column)[c];
      result.colours.push_back(sum);
    }
  return result;
}

/// The largest difference, in levels.
inline double difference(const Array& frame, const Picture& picture) {
  EXPECT_EQ(frame.shape(), (Shape{picture.height, picture.width, 3}));
  EXPECT_EQ(frame.dtype(), DType::kU8);
  double most = 0;
  for (std::size_t i = 0; i < picture.colours.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c)
      most = std::max(most, std::abs(frame.data<std::uint8_t>()[3 * i + c] - picture.colours[i][c]));
  return most;
}

inline std::vector<std::uint8_t> levels_of(const Array& frame) {
  const auto* bytes = frame.data<std::uint8_t>();
  return {bytes, bytes + frame.count()};
}

}  // namespace voxshift
