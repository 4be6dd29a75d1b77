// Camera frames against OpenCV's conversion, turning and scaling, and against what FrameSource makes of files.
#include <voxshift/video/frame_source.h>

#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "camera_fixture.h"
#include "file_test.h"

namespace voxshift {
namespace {

/// The planes of `owned` one below the other, as cvtColor wants them.
cv::Mat stacked(const OwnedFrame& owned) {
  const CameraFrame& frame = owned.frame;
  std::vector<std::uint8_t> bytes;
  for (const FramePlane& plane : frame.planes)
    if (plane.data != nullptr) bytes.insert(bytes.end(), plane.data, plane.data + plane.bytes);
  const int width = static_cast<int>(frame.width), rows = static_cast<int>(frame.height) * 3 / 2;
  return cv::Mat(rows, width, CV_8UC1, bytes.data()).clone();
}

/// RGB by OpenCV of a frame without gaps.
cv::Mat by_opencv(const OwnedFrame& owned) {
  const CameraFrame& frame = owned.frame;
  cv::Mat rgb;
  const auto whole = [&](int type) {
    return cv::Mat(static_cast<int>(frame.height), static_cast<int>(frame.width), type, owned.memory[0].get());
  };
  switch (frame.format) {
    case PixelFormat::kRgb:
      return whole(CV_8UC3).clone();
    case PixelFormat::kBgr:
      cv::cvtColor(whole(CV_8UC3), rgb, cv::COLOR_BGR2RGB);
      break;
    case PixelFormat::kRgba:
      cv::cvtColor(whole(CV_8UC4), rgb, cv::COLOR_RGBA2RGB);
      break;
    case PixelFormat::kBgra:
      cv::cvtColor(whole(CV_8UC4), rgb, cv::COLOR_BGRA2RGB);
      break;
    case PixelFormat::kNv12:
      cv::cvtColor(stacked(owned), rgb, cv::COLOR_YUV2RGB_NV12);
      break;
    case PixelFormat::kNv21:
      cv::cvtColor(stacked(owned), rgb, cv::COLOR_YUV2RGB_NV21);
      break;
    case PixelFormat::kI420:
    case PixelFormat::kYuv420:
      cv::cvtColor(stacked(owned), rgb, cv::COLOR_YUV2RGB_I420);
      break;
  }
  return rgb;
}

/// What FrameSource does with pictures, once more.
cv::Mat scaled_middle(const cv::Mat& picture, const FrameProfile& profile) {
  const std::int64_t shorter = std::min(picture.cols, picture.rows);
  const cv::Size size(static_cast<int>(profile.resize * picture.cols / shorter),
                      static_cast<int>(profile.resize * picture.rows / shorter));
  cv::Mat scaled = picture;
  if (size != picture.size())
    cv::resize(picture, scaled, size, 0, 0, profile.resize < shorter ? cv::INTER_AREA : cv::INTER_LINEAR);
  const auto width = static_cast<int>(profile.width), height = static_cast<int>(profile.height);
  return scaled(cv::Rect((size.width - width) / 2, (size.height - height) / 2, width, height)).clone();
}

int difference(const Array& frame, const cv::Mat& rgb) {
  const cv::Mat found(static_cast<int>(frame.dim(0)), static_cast<int>(frame.dim(1)), CV_8UC3,
                      const_cast<void*>(frame.memory()));
  return static_cast<int>(cv::norm(found, rgb, cv::NORM_INF));
}

struct Picked {
  std::int64_t width, height;
  FrameProfile profile;
};

std::vector<Picked> sizes() {
  return {{64, 64, profile_of(64, 64, 64)},   {96, 64, profile_of(50, 61, 64)},
          {64, 64, profile_of(32, 32, 32)},   {64, 98, profile_of(30, 20, 32)},
          {170, 110, profile_of(31, 32, 32)}, {34, 34, profile_of(33, 33, 33)},
          {640, 480, profile_of(24, 24, 24)}, {320, 240, profile_of(224, 224, 232)},
          {48, 64, profile_of(64, 64, 73)},   {176, 144, profile_of(224, 224, 256)},
          {62, 62, profile_of(63, 63, 63)},   {1280, 720, profile_of(224, 224, 256)}};
}

TEST(CameraAndOpenCv, EveryFormat) {
  for (const PixelFormat format : kFormats)
    for (const auto& [width, height, profile] : sizes()) {
      const OwnedFrame owned = noise_frame(format, width, height);
      FramePreparer preparer(profile);
      // where the picture grows, few pixels are mixed: a level of the conversion and one of the scaling may add up
      const int levels = is_yuv(format) && profile.resize > std::min(width, height) ? 2 : 1;
      EXPECT_LE(difference(preparer.prepare(owned.frame), scaled_middle(by_opencv(owned), profile)), levels)
          << static_cast<int>(format) << ": " << width << " x " << height << " to " << profile.resize;
    }
}

TEST(CameraAndOpenCv, PlanesOfUAndVInTheOtherOrder) {
  OwnedFrame owned = noise_frame(PixelFormat::kI420, 32, 32);
  cv::Mat rgb;
  cv::cvtColor(stacked(owned), rgb, cv::COLOR_YUV2RGB_YV12);
  std::swap(owned.frame.planes[1], owned.frame.planes[2]);
  FramePreparer preparer(profile_of(32, 32, 32));
  EXPECT_LE(difference(preparer.prepare(owned.frame), rgb), 1);
}

/// OpenCV has the full range as YCrCb, without 4:2:0.
TEST(CameraAndOpenCv, FullRangeWithinOneLevel) {
  OwnedFrame owned = noise_frame(PixelFormat::kI420, 64, 64);
  owned.frame.colours = YuvColours::kBt601Full;
  cv::Mat each(64, 64, CV_8UC3), rgb;
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x)
      each.at<cv::Vec3b>(y, x) = {owned.memory[0][y * 64 + x], owned.memory[2][y / 2 * 32 + x / 2],
                                  owned.memory[1][y / 2 * 32 + x / 2]};
  cv::cvtColor(each, rgb, cv::COLOR_YCrCb2RGB);
  FramePreparer preparer(profile_of(64, 64, 64));
  EXPECT_LE(difference(preparer.prepare(owned.frame), rgb), 1);
}

TEST(CameraAndOpenCv, TurnedThenScaled) {
  for (const auto& [width, height, profile] : sizes())
    for (const auto& [rotation, flag] : {std::pair{90, cv::ROTATE_90_CLOCKWISE}, std::pair{180, cv::ROTATE_180},
                                         std::pair{270, cv::ROTATE_90_COUNTERCLOCKWISE}}) {
      OwnedFrame owned = noise_frame(PixelFormat::kBgr, width, height);
      owned.frame.rotation = rotation;
      cv::Mat upright;
      cv::rotate(by_opencv(owned), upright, flag);
      FramePreparer preparer(profile);
      EXPECT_LE(difference(preparer.prepare(owned.frame), scaled_middle(upright, profile)), 1)
          << width << " x " << height << " turned by " << rotation;
    }
}

class CameraAndFiles : public FileTest {};

/// A frame in memory and the same one in a file: a stream sees the same, within a level.
TEST_F(CameraAndFiles, FramesOfFilesAreTheSame) {
  for (const auto& [width, height, profile] : sizes()) {
    const OwnedFrame owned = noise_frame(PixelFormat::kBgr, width, height);
    const std::string name =
        "clip" + std::to_string(width) + "x" + std::to_string(height) + "to" + std::to_string(profile.resize);
    std::filesystem::create_directories(folder_ / name);
    cv::imwrite((folder_ / name / "0.bmp").string(),
                cv::Mat(static_cast<int>(height), static_cast<int>(width), CV_8UC3, owned.memory[0].get()));
    FrameSourceOptions options;
    options.size = {profile.height, profile.width};
    options.resize = profile.resize;
    FrameSource source((folder_ / name).string(), options);
    const Array read = source.next()->pixels;
    FramePreparer preparer(profile);
    const Array& prepared = preparer.prepare(owned.frame);
    const cv::Mat file(static_cast<int>(profile.height), static_cast<int>(profile.width), CV_8UC3,
                       const_cast<void*>(read.memory()));
    EXPECT_LE(difference(prepared, file), profile.resize == std::min(width, height) ? 0 : 1) << name;
  }
}

}  // namespace
}  // namespace voxshift
