// Canvases by OpenCV.
#include <voxshift/tensor/error.h>

#include <opencv2/imgcodecs.hpp>

#include "opencv_text.h"

namespace {

using namespace voxshift;

cv::Point point(Pixel at) { return {at.x, at.y}; }

std::vector<cv::Point> points(std::span<const Pixel> pixels) {
  std::vector<cv::Point> result;
  for (const Pixel& pixel : pixels) result.push_back(point(pixel));
  return result;
}

class OpenCvCanvas final : public Canvas {
 public:
  OpenCvCanvas(int width, int height)
      : picture_(height, width, CV_8UC3, blue_green_red(kBackground)), image_(picture_) {}

  void draw_on_columns(int first, int count) override { image_ = picture_.colRange(first, first + count); }

  void fill(Pixel corner, int width, int height, const Rgb& colour) override {
    image_(cv::Rect(corner.x, corner.y, width, height) & cv::Rect({}, image_.size())) = blue_green_red(colour);
  }
  void outline(Pixel corner, int width, int height, const Rgb& colour) override {
    cv::rectangle(image_, cv::Rect(corner.x, corner.y, width, height), blue_green_red(colour), 1);
  }
  void rule(Pixel from, Pixel to, int width, const Rgb& colour) override {
    cv::line(image_, point(from), point(to), blue_green_red(colour), width);
  }
  void lines(std::span<const Pixel> line, bool closed, int width, const Rgb& colour) override {
    cv::polylines(image_, points(line), closed, blue_green_red(colour), width, cv::LINE_AA);
  }
  void polygon(std::span<const Pixel> corners, const Rgb& colour) override {
    cv::fillPoly(image_, std::vector<std::vector<cv::Point>>{points(corners)}, blue_green_red(colour), cv::LINE_AA);
  }
  void circle(Pixel middle, int radius, int width, const Rgb& colour) override {
    cv::circle(image_, point(middle), radius, blue_green_red(colour), width == 0 ? cv::FILLED : width, cv::LINE_AA);
  }

  void text(const std::string& text, Pixel at, double scale, const Rgb& colour, bool halo) override {
    if (halo) put_text(image_, text, point(at), scale, blue_green_red(kBackground), 7);
    put_text(image_, text, point(at), scale, blue_green_red(colour));
  }
  int text_width(const std::string& text, double scale) const override { return voxshift::text_width(text, scale); }
  void text_upwards(Pixel corner, int width, int height, const std::string& text, Pixel at, double scale,
                    const Rgb& colour) override {
    cv::Mat strip(width, height, CV_8UC3, blue_green_red(kBackground)), turned;
    put_text(strip, text, point(at), scale, blue_green_red(colour));
    cv::rotate(strip, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
    turned.copyTo(image_(cv::Rect(corner.x, corner.y, width, height)));
  }

  std::vector<std::uint8_t> png() const override {
    // OpenCV's own choice, made for speed on photographs, is twice as large.
    const std::vector<int> small = {cv::IMWRITE_PNG_COMPRESSION, 9, cv::IMWRITE_PNG_STRATEGY,
                                    cv::IMWRITE_PNG_STRATEGY_DEFAULT};
    std::vector<std::uint8_t> bytes;
    check<Error>(cv::imencode(".png", picture_, bytes, picture_.total() < kLarge ? small : std::vector<int>()),
                 "OpenCV cannot encode a PNG");
    return bytes;
  }

 private:
  static constexpr std::size_t kLarge = 1500000;  // pixels

  cv::Mat picture_, image_;  ///< all of it, and the columns that are drawn on
};

}  // namespace

void voxshift_opencv_canvas(int width, int height, std::unique_ptr<Canvas>& canvas) {
  canvas = std::make_unique<OpenCvCanvas>(width, height);
}
