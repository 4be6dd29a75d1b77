// The readers behind FrameSource: frames of a video, a folder or a camera, before they are resized.
#pragma once

#include <voxshift/video/frame_source.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>

namespace voxshift {

struct RawFrame {
  cv::Mat image;
  std::int64_t number = 0;
  double seconds = 0;
};

/// What a source says of itself; 0 where it does not say.
struct SourceHeader {
  double frames_per_second = 0;
  std::int64_t frame_count = 0;
  bool live = false;
};

class RawFrames {
 public:
  virtual ~RawFrames() = default;
  /// The frame of that number; false at the end. Throws IoError, or cv::Exception.
  virtual bool read(RawFrame& frame) = 0;
  /// As FrameSource::missing_frames().
  virtual MissingFrames missing_frames() const { return {}; }
  const SourceHeader& header() const { return header_; }

 protected:
  SourceHeader header_;
};

/// A file, a folder of images, a camera or a stream, by the rules of FrameSource. Throws IoError "SOURCE: ..".
std::unique_ptr<RawFrames> open_raw_frames(const std::string& source);

/// The video in an ordinary file, which messages call `source`.
std::unique_ptr<RawFrames> open_video_file(const std::string& source, const std::filesystem::path& path);

}  // namespace voxshift
