// What the command's pictures are drawn on: by OpenCV where it is there, else by hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "class_colours.h"

namespace voxshift {

/// A place in a picture, in pixels from its upper left corner.
struct Pixel {
  int x = 0, y = 0;

  Pixel operator+(const Pixel& other) const { return {x + other.x, y + other.y}; }
};

// White, because sidewalk, the darkest of the large classes, is lost on a dark ground.
inline constexpr Rgb kBackground = {255, 255, 255}, kGrid = {220, 224, 228}, kText = {32, 38, 45},
                     kFaint = {104, 112, 120};

/// `text`, cut so that it is no wider, with ? in place of what is not printable ASCII.
template <class WidthOf>
std::string fitting_text(std::string text, int width, const WidthOf& width_of) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 32 || c > 126; }, '?');
  if (width_of(text) <= width) return text;
  while (!text.empty() && width_of(text + "...") > width) text.pop_back();
  return text + "...";
}

/// Pixels, at first of the background's colour. What lies outside of the picture, or of the columns that are drawn on,
/// is left out.
class Canvas {
 public:
  virtual ~Canvas() = default;

  /// Draws from now on in these columns, whose first is 0.
  virtual void draw_on_columns(int first, int count) = 0;

  virtual void fill(Pixel corner, int width, int height, const Rgb& colour) = 0;
  /// The outline, one pixel wide, within the rectangle.
  virtual void outline(Pixel corner, int width, int height, const Rgb& colour) = 0;
  /// Along an axis, without smooth edges.
  virtual void rule(Pixel from, Pixel to, int width, const Rgb& colour) = 0;
  /// Lines from point to point, with smooth edges as all that follows; a closed one goes back to its first point.
  virtual void lines(std::span<const Pixel> points, bool closed, int width, const Rgb& colour) = 0;
  virtual void polygon(std::span<const Pixel> corners, const Rgb& colour) = 0;
  /// A ring; filled where the width is 0.
  virtual void circle(Pixel middle, int radius, int width, const Rgb& colour) = 0;

  /// Printable ASCII. `at` is the left end of the line that letters stand on, capitals are 22 pixels high at scale 1.
  /// `halo`: the background's colour around the letters, so that they stay readable over points.
  virtual void text(const std::string& text, Pixel at, double scale, const Rgb& colour, bool halo = false) = 0;
  virtual int text_width(const std::string& text, double scale) const = 0;
  /// As text(), read from below, in a rectangle that is cleared: `at` is the place in the rectangle as it is read.
  virtual void text_upwards(Pixel corner, int width, int height, const std::string& text, Pixel at, double scale,
                            const Rgb& colour) = 0;

  /// Bytes of a PNG.
  virtual std::vector<std::uint8_t> png() const = 0;

  std::string fitting(const std::string& text, double scale, int width) const {
    return fitting_text(text, width, [&](const std::string& some) { return text_width(some, scale); });
  }
};

/// OpenCV's where this build has it, else plain_canvas().
std::unique_ptr<Canvas> make_canvas(int width, int height);

/// One that needs no other library: its letters are plainer.
std::unique_ptr<Canvas> plain_canvas(int width, int height);

/// Bytes of a PNG of RGB pixels [height, width, 3]. Throws InvalidArgument where there are not so many.
std::vector<std::uint8_t> plain_png(std::span<const std::uint8_t> pixels, int width, int height);

}  // namespace voxshift

/// What libvoxshift_opencv exports.
extern "C" void voxshift_opencv_canvas(int width, int height, std::unique_ptr<voxshift::Canvas>& canvas);
