// Pictures and videos that OpenCV writes, for tests of what reads them.
#pragma once

#include <voxshift/video/frame_source.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/videoio.hpp>
#include <string>

#include "file_test.h"

namespace voxshift {

/// Options that leave square images of that side as they are.
inline FrameSourceOptions unscaled(int side) {
  FrameSourceOptions options;
  options.size = {side, side};
  options.resize = side;
  return options;
}

/// Levels 3 x + y + 7 number + 40 c of red, green, blue (c = 0, 1, 2), modulo 256.
inline int level(int x, int y, int c, int number) { return (3 * x + y + 7 * number + 40 * c) % 256; }

inline cv::Mat picture(int height, int width, int number = 0) {
  cv::Mat bgr(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) bgr.at<cv::Vec3b>(y, x)[2 - c] = static_cast<std::uint8_t>(level(x, y, c, number));
  return bgr;
}

inline int at(const SourceFrame& frame, int y, int x, int c) {
  return frame.pixels.data<std::uint8_t>()[(y * frame.pixels.dim(1) + x) * 3 + c];
}

inline void expect_picture(const SourceFrame& frame, int number, int left = 0, int top = 0) {
  for (int y = 0; y < frame.pixels.dim(0); ++y)
    for (int x = 0; x < frame.pixels.dim(1); ++x)
      for (int c = 0; c < 3; ++c) ASSERT_EQ(at(frame, y, x, c), level(x + left, y + top, c, number)) << y << ' ' << x;
}

class FrameSourceTest : public FileTest {
 protected:
  std::string image(const std::string& name, const cv::Mat& bgr) const {
    fs::create_directories((folder_ / name).parent_path());
    cv::imwrite((folder_ / name).string(), bgr);
    return (folder_ / name).string();
  }

  /// FFV1 keeps every bit.
  std::string video(const std::string& name, int frames, int height = 64, int width = 64, double rate = 20) const {
    const std::string path = (folder_ / name).string();
    cv::VideoWriter writer(path, cv::CAP_FFMPEG, cv::VideoWriter::fourcc('F', 'F', 'V', '1'), rate, {width, height});
    EXPECT_TRUE(writer.isOpened());
    for (int number = 0; number < frames; ++number) writer.write(picture(height, width, number));
    return path;
  }

  std::string folder() const { return folder_.string(); }

  /// What the source says when it is opened and read to its end; `frames` gets the number that came before.
  std::string fails(const std::string& source, const FrameSourceOptions& options, int* frames = nullptr) const {
    return io_error(source, [&] {
      FrameSource reader(source, options);
      while (reader.next())
        if (frames != nullptr) ++*frames;
    });
  }
};

}  // namespace voxshift
