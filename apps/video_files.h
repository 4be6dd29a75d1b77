// Videos that the command reads and writes. The boundary to OpenCV's video part, which lives in a shared library of its
// own (video_module.cpp, opencv_video.cpp).
#pragma once

#include <voxshift/files/unfinished_file.h>
#include <voxshift/video/frame_source.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// A FrameSource behind the boundary.
class FrameReader {
 public:
  virtual ~FrameReader() = default;
  virtual std::optional<SourceFrame> next() = 0;
  virtual double frames_per_second() const = 0;
  virtual std::int64_t frame_count() const = 0;
  virtual MissingFrames missing_frames() const = 0;
  virtual bool live() const = 0;
};

/// Throws what FrameSource throws; BackendUnavailable where this build has no OpenCV.
std::unique_ptr<FrameReader> open_frames(const std::string& source, const FrameSourceOptions& options);

/// An RGB image, [height, width, 3].
struct Image {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;
};

/// Bytes of a PNG.
std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> pixels, Extent2d extent);

/// What the picture of a recognised frame shows; the views must outlive the call that draws it.
struct RecognizedFrame {
  const Array& pixels;                       ///< u8 [height, width, 3]
  std::span<const std::uint8_t> recomputed;  ///< 1 where pixels count as changed; empty: all of them
  std::string label;
  double score = 0;
  std::string note;  ///< second line
};

/// The frame, enlarged, with label and score below; what was not recomputed is grey. Throws BackendUnavailable.
Image draw_frame(const RecognizedFrame& frame);

/// Writes frames of one size.
class FrameWriter {
 public:
  virtual ~FrameWriter() = default;
  virtual void write(std::span<const std::uint8_t> pixels) = 0;
  /// Whether all of the file was written.
  virtual bool close() = 0;
};

struct VideoFormat {
  Extent2d extent;
  double frames_per_second = 25;
};

/// Opens a file for writing under the name as it is. Throws as VideoFile does.
std::unique_ptr<FrameWriter> create_video(const std::filesystem::path& path, const VideoFormat& format);

/// A video file. It grows under a temporary name; finish() gives it its own, and without that nothing stays.
class VideoFile {
 public:
  /// .mp4 (MPEG-4) for people; .mkv (FFV1) keeps every bit. Throws InvalidArgument for another name, IoError "FILE: .."
  /// where it cannot be written, BackendUnavailable where this build has no OpenCV.
  VideoFile(const std::filesystem::path& path, const VideoFormat& format);
  VideoFile(const VideoFile&) = delete;
  VideoFile& operator=(const VideoFile&) = delete;

  /// RGB [height, width, 3].
  void write(std::span<const std::uint8_t> pixels) { writer_->write(pixels); }

  bool finished() const { return !temporary_; }

  /// Throws IoError where the file has no room for all of it, or cannot get its name.
  void finish();

 private:
  std::filesystem::path path_;
  std::optional<UnfinishedFile> temporary_;
  std::unique_ptr<FrameWriter> writer_;
};

/// Throws InvalidArgument where the name does not end as VideoFile takes it.
void check_video_name(const std::filesystem::path& path);

}  // namespace voxshift

/// What libvoxshift_video exports.
extern "C" void voxshift_video_open(const std::string& source, const voxshift::FrameSourceOptions& options,
                                    std::unique_ptr<voxshift::FrameReader>& reader);
extern "C" void voxshift_video_create(const std::filesystem::path& path, const voxshift::VideoFormat& format,
                                      std::unique_ptr<voxshift::FrameWriter>& writer);
extern "C" void voxshift_video_draw(const voxshift::RecognizedFrame& frame, voxshift::Image& image);
extern "C" void voxshift_video_encode_png(std::span<const std::uint8_t> pixels, voxshift::Extent2d extent,
                                          std::vector<std::uint8_t>& png);
