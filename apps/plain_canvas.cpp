// Pictures without OpenCV: pixels by hand, letters and PNG by stb's headers.
#include <voxshift/tensor/error.h>

#include <array>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_easy_font.h>
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "canvas.h"

namespace voxshift {
namespace {

constexpr double kUnit = 3;         // pixels of a font's unit at scale 1: capitals are 7 units high
constexpr float kFontBaseline = 9;  // units from the top of a line to what letters stand on
constexpr double kHalo = 3;         // pixels around letters
constexpr int kBytesOfQuad = 64, kQuadsOfLetter = 16;

struct PlainPoint {
  double x, y;
};

/// A rectangle of a letter, in units.
struct LetterPart {
  float left, top, right, bottom;
};

/// As they would be printed at (0, 0).
std::vector<LetterPart> letter_parts(std::string text) {
  std::vector<char> quads(text.size() * kQuadsOfLetter * kBytesOfQuad);
  const int count = stb_easy_font_print(0, 0, text.data(), nullptr, quads.data(), static_cast<int>(quads.size()));
  std::vector<LetterPart> parts;
  for (int i = 0; i < count; ++i) {
    std::array<float, kBytesOfQuad / sizeof(float)> corners;  // of each x, y, z, colour
    std::copy_n(quads.data() + static_cast<std::ptrdiff_t>(i) * kBytesOfQuad, kBytesOfQuad,
                reinterpret_cast<char*>(corners.data()));
    parts.push_back({corners[0], corners[1], corners[8], corners[9]});
  }
  return parts;
}

double distance_to_line(PlainPoint p, Pixel from, Pixel to) {
  const double dx = to.x - from.x, dy = to.y - from.y, length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : std::clamp(((p.x - from.x) * dx + (p.y - from.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - from.x - along * dx, p.y - from.y - along * dy);
}

bool is_inside(PlainPoint p, std::span<const Pixel> corners) {
  bool inside = false;
  for (std::size_t i = 0, last = corners.size() - 1; i < corners.size(); last = i++) {
    const Pixel &a = corners[i], &b = corners[last];
    if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) * (b.x - a.x) / static_cast<double>(b.y - a.y))
      inside = !inside;
  }
  return inside;
}

class PlainCanvas final : public Canvas {
 public:
  PlainCanvas(int width, int height)
      : width_(width), height_(height), columns_(width), pixels_(3 * static_cast<std::size_t>(width) * height, 255) {}

  void draw_on_columns(int first, int count) override {
    first_ = first;
    columns_ = std::min(count, width_ - first);
  }

  void fill(Pixel corner, int width, int height, const Rgb& colour) override {
    const int right = std::min(corner.x + width, columns_), bottom = std::min(corner.y + height, height_);
    for (int y = std::max(corner.y, 0); y < bottom; ++y)
      for (int x = std::max(corner.x, 0); x < right; ++x) std::ranges::copy(colour, at(x, y));
  }

  void outline(Pixel corner, int width, int height, const Rgb& colour) override {
    fill(corner, width, 1, colour);
    fill(corner, 1, height, colour);
    fill({corner.x, corner.y + height - 1}, width, 1, colour);
    fill({corner.x + width - 1, corner.y}, 1, height, colour);
  }

  void rule(Pixel from, Pixel to, int width, const Rgb& colour) override {
    const int before = width / 2;
    fill({std::min(from.x, to.x) - before, std::min(from.y, to.y) - before}, std::abs(to.x - from.x) + width,
         std::abs(to.y - from.y) + width, colour);
  }

  void lines(std::span<const Pixel> points, bool closed, int width, const Rgb& colour) override {
    for (std::size_t i = 0; i + (closed ? 0 : 1) < points.size(); ++i) {
      const Pixel from = points[i], to = points[(i + 1) % points.size()];
      cover(std::min(from.x, to.x) - width, std::max(from.x, to.x) + width, std::min(from.y, to.y) - width,
            std::max(from.y, to.y) + width, colour, [&](double x, double y) {
              return (width + 1) / 2.0 - distance_to_line({x, y}, from, to);
            });
    }
  }

  void polygon(std::span<const Pixel> corners, const Rgb& colour) override {
    const auto [left, right] = std::ranges::minmax(corners, {}, &Pixel::x);
    const auto [top, bottom] = std::ranges::minmax(corners, {}, &Pixel::y);
    constexpr int kSamples = 4;  // per axis of a pixel
    cover(left.x, right.x, top.y, bottom.y, colour, [&](double x, double y) {
      int inside = 0;
      for (int i = 0; i < kSamples * kSamples; ++i) {
        const int column = i % kSamples, row = i / kSamples;
        const double dx = (column + 0.5) / kSamples - 0.5, dy = (row + 0.5) / kSamples - 0.5;
        inside += is_inside({x + dx, y + dy}, corners) ? 1 : 0;
      }
      return inside / static_cast<double>(kSamples * kSamples);
    });
  }

  void circle(Pixel middle, int radius, int width, const Rgb& colour) override {
    const int reach = radius + width + 1;
    cover(middle.x - reach, middle.x + reach, middle.y - reach, middle.y + reach, colour, [&](double x, double y) {
      const double distance = std::hypot(x - middle.x, y - middle.y);
      return width == 0 ? radius + 0.5 - distance : (width + 1) / 2.0 - std::abs(distance - radius);
    });
  }

  void text(const std::string& text, Pixel place, double scale, const Rgb& colour, bool halo) override {
    const std::vector<LetterPart> parts = letter_parts(text);
    if (halo) draw_letters(parts, place, kUnit * scale, kHalo, kBackground);
    draw_letters(parts, place, kUnit * scale, 0, colour);
  }

  int text_width(const std::string& text, double scale) const override {
    return static_cast<int>(std::lrint(kUnit * scale * stb_easy_font_width(std::string(text).data())));
  }

  void text_upwards(Pixel corner, int width, int height, const std::string& text, Pixel place, double scale,
                    const Rgb& colour) override {
    PlainCanvas strip(height, width);
    strip.text(text, place, scale, colour, false);
    for (int y = 0; y < width; ++y)
      for (int x = 0; x < height; ++x) {
        const Pixel to = corner + Pixel{y, height - 1 - x};
        if (is_drawn_on(to)) std::copy_n(strip.at(x, y), 3, at(to.x, to.y));
      }
  }

  std::vector<std::uint8_t> png() const override { return plain_png(pixels_, width_, height_); }

 private:
  std::uint8_t* at(int x, int y) { return pixels_.data() + 3 * (static_cast<std::size_t>(y) * width_ + first_ + x); }

  bool is_drawn_on(Pixel pixel) const {
    return pixel.x >= 0 && pixel.y >= 0 && pixel.x < columns_ && pixel.y < height_;
  }

  void blend(int x, int y, double share, const Rgb& colour) {
    std::uint8_t* const pixel = at(x, y);
    for (std::size_t i = 0; i < 3; ++i)
      pixel[i] = static_cast<std::uint8_t>(std::lrint(pixel[i] + share * (colour[i] - pixel[i])));
  }

  /// Every pixel of [left, right] x [top, bottom] by the share of it that `share_at` says of its middle, cut to [0, 1].
  template <class ShareAt>
  void cover(int left, int right, int top, int bottom, const Rgb& colour, const ShareAt& share_at) {
    for (int y = std::max(top, 0); y <= std::min(bottom, height_ - 1); ++y)
      for (int x = std::max(left, 0); x <= std::min(right, columns_ - 1); ++x)
        if (const double share = share_at(x, y); share > 0) blend(x, y, std::min(share, 1.0), colour);
  }

  /// Edges of parts between pixels show as shares of those.
  void draw_letters(const std::vector<LetterPart>& parts, Pixel place, double unit, double around, const Rgb& colour) {
    for (const LetterPart& part : parts) {
      const double left = place.x + unit * part.left - around, right = place.x + unit * part.right + around;
      const double top = place.y + unit * (part.top - kFontBaseline) - around;
      const double bottom = place.y + unit * (part.bottom - kFontBaseline) + around;
      const auto overlap = [](double low, double high, int pixel) {
        return std::max(0.0, std::min(high, pixel + 1.0) - std::max(low, static_cast<double>(pixel)));
      };
      cover(static_cast<int>(std::floor(left)), static_cast<int>(right), static_cast<int>(std::floor(top)),
            static_cast<int>(bottom), colour,
            [&](int x, int y) { return overlap(left, right, x) * overlap(top, bottom, y); });
    }
  }

  int width_, height_;
  int first_ = 0, columns_;  ///< drawn on
  std::vector<std::uint8_t> pixels_;
};

}  // namespace

std::unique_ptr<Canvas> plain_canvas(int width, int height) { return std::make_unique<PlainCanvas>(width, height); }

std::vector<std::uint8_t> plain_png(std::span<const std::uint8_t> pixels, int width, int height) {
  const std::size_t expected = 3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  check(pixels.size() == expected, "[plain_png] expected ", expected, " numbers, found ", pixels.size());
  std::vector<std::uint8_t> bytes;
  const auto append = [](void* to, void* data, int size) {
    const auto* const first = static_cast<const std::uint8_t*>(data);
    static_cast<std::vector<std::uint8_t>*>(to)->insert(static_cast<std::vector<std::uint8_t>*>(to)->end(), first,
                                                        first + size);
  };
  stbi_write_force_png_filter = 2;  // differences from the row above: pictures have many equal ones
  const int written = stbi_write_png_to_func(append, &bytes, width, height, 3, pixels.data(), 3 * width);
  check<OutOfMemory>(written != 0, "[plain_png] no memory for a PNG");
  return bytes;
}

}  // namespace voxshift
