// Frames of a file, a folder of images or a camera, through OpenCV. Part of the optional target voxshift::frames.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace voxshift {

struct FrameSourceOptions {
  Extent2d size{224, 224};    ///< of the frames that are given
  std::int64_t resize = 256;  ///< the shorter side is scaled to this before the middle is cut out
  bool latest = false;        ///< cameras: drop frames that were not taken in time, so that the newest one is given
};

/// One frame: resized, cut, RGB.
struct SourceFrame {
  Array pixels;             ///< u8 [height, width, 3]
  std::int64_t number = 0;  ///< from 0, dropped ones counted
  double seconds = 0;       ///< time since the first frame: the file's, or the camera's clock
};

/// What a file lacks, as far as its times and its header tell.
struct MissingFrames {
  std::int64_t count = 0;       ///< that the times leave room for, in a file whose frames come evenly but for that
  std::int64_t after = 0;       ///< number of the frame before the longest gap
  double after_seconds = 0;     ///< its time
  double promised_seconds = 0;  ///< by the header, where the last frame came clearly earlier, though the file is whole
};

/// Opens videos (what OpenCV's backends read), folders of images (.png .jpg .jpeg .bmp .webp .tif .tiff .ppm as far as
/// OpenCV reads them, in natural order of their names, hidden ones left out, 25 a second) and cameras ("0", "1", ..,
/// "/dev/video0" or a stream's address with "://"). A name that exists is a file, whatever it looks like;
/// "file:///PATH" is a path. Frames of a video come the way up that its header asks for. Grey images become three equal
/// channels; an alpha channel is dropped. Frames are resized by area where they shrink, else bilinearly. OpenCV and
/// FFmpeg are kept silent; libpng, libjpeg and camera drivers write to standard error by themselves.
class FrameSource {
 public:
  /// Throws IoError "SOURCE: .." for what cannot be opened, holds no frame or is a pipe, InvalidArgument for a size
  /// below 1 or above `resize`, and a `resize` above 4096.
  FrameSource(const std::string& source, const FrameSourceOptions& options);
  ~FrameSource();
  FrameSource(FrameSource&&) noexcept;
  FrameSource& operator=(FrameSource&&) noexcept;

  /// The next frame; nothing at the end. Throws IoError "SOURCE: frame N: .." for a truncated file, an image that is
  /// none, a frame of another size than the first one, a camera that vanished. The memory is reused by the next call.
  std::optional<SourceFrame> next();

  /// As the file says, else 0. The count may be wrong: an estimate, or that of a clip before it was trimmed.
  double frames_per_second() const;
  std::int64_t frame_count() const;

  /// Of what was read so far; of folders and cameras none.
  MissingFrames missing_frames() const;

  /// Whether frames come as long as somebody films: a camera or a live stream.
  bool live() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
