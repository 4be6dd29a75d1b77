// Colours and text that OpenCV's pictures share.
#pragma once

#include <opencv2/imgproc.hpp>
#include <string>

#include "canvas.h"

namespace voxshift {

inline cv::Scalar blue_green_red(const Rgb& colour) {
  return {double(colour[2]), double(colour[1]), double(colour[0])};
}

inline void put_text(cv::Mat& image, const std::string& text, cv::Point at, double scale, const cv::Scalar& colour,
                     int width = 1) {
  cv::putText(image, text, at, cv::FONT_HERSHEY_DUPLEX, scale, colour, width, cv::LINE_AA);
}

inline int text_width(const std::string& text, double scale) {
  int baseline = 0;
  return cv::getTextSize(text, cv::FONT_HERSHEY_DUPLEX, scale, 1, &baseline).width;
}

}  // namespace voxshift
