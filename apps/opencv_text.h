// Colours and text that the pictures share.
#pragma once

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <string>

namespace voxshift {

// White, because sidewalk, the darkest of the large classes, is lost on a dark ground. Blue, green, red.
inline const cv::Scalar kBackground(255, 255, 255);
inline const cv::Scalar kGrid(228, 224, 220);
inline const cv::Scalar kText(45, 38, 32);
inline const cv::Scalar kFaint(120, 112, 104);

inline void put_text(cv::Mat& image, const std::string& text, cv::Point at, double scale, const cv::Scalar& colour) {
  cv::putText(image, text, at, cv::FONT_HERSHEY_DUPLEX, scale, colour, 1, cv::LINE_AA);
}

inline int text_width(const std::string& text, double scale) {
  int baseline = 0;
  return cv::getTextSize(text, cv::FONT_HERSHEY_DUPLEX, scale, 1, &baseline).width;
}

/// `text` at `scale`, cut so that it fits; OpenCV's fonts have ASCII only.
inline std::string fitting(std::string text, double scale, int width) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 32 || c > 126; }, '?');
  if (text_width(text, scale) <= width) return text;
  while (!text.empty() && text_width(text + "...", scale) > width) text.pop_back();
  return text + "...";
}

}  // namespace voxshift
