// Videos in files: which way up they are, when their frames come, where they end.
#include <voxshift/tensor/error.h>
#include <voxshift/video/frame_times.h>
#include <voxshift/video/raw_frames.h>
#include <voxshift/video/video_container.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/videoio.hpp>
#include <opencv2/videoio/registry.hpp>
#include <optional>
#include <system_error>

namespace voxshift {
namespace {

namespace fs = std::filesystem;

/// How the file wants its frames turned. From here on OpenCV leaves that to us, for its version 4.6 takes the angle for
/// one to the other side. A version that does not know the property (before 4.5), or another backend, turns by itself.
std::optional<cv::RotateFlags> take_over_rotation(cv::VideoCapture& capture) {
  constexpr int kOrientationMeta = 48, kOrientationAuto = 49;  // cv::CAP_PROP_.. since OpenCV 4.5
  long degrees = std::lround(capture.get(kOrientationMeta));
  if (degrees == 0 || !capture.set(kOrientationAuto, 0)) return std::nullopt;
  if (cv::getVersionMajor() == 4 && cv::getVersionMinor() == 6) degrees = -degrees;
  switch ((degrees % 360 + 360) % 360) {
    case 90:
      return cv::ROTATE_90_CLOCKWISE;
    case 180:
      return cv::ROTATE_180;
    case 270:
      return cv::ROTATE_90_COUNTERCLOCKWISE;
    default:
      return std::nullopt;
  }
}

class VideoFrames final : public RawFrames {
 public:
  VideoFrames(const std::string& source, const fs::path& path) : source_(source), path_(fs::absolute(path)) {
    std::error_code error;
    check<IoError>(fs::file_size(path_, error) > 0 || error, source, ": the file is empty");
    const bool ffmpeg = cv::videoio_registry::hasBackend(cv::CAP_FFMPEG);
    // FFmpeg takes "12:30.mp4" for a protocol named 12; a path from the root is none
    check<IoError>(capture_.open(path_.string(), ffmpeg ? cv::CAP_FFMPEG : cv::CAP_ANY), source,
                   ": no video that OpenCV reads, or one that is cut short");
    const auto sane = [](double value, double most) { return value > 0 && value <= most ? value : 0; };
    header_ = {sane(capture_.get(cv::CAP_PROP_FPS), 1e4),
               static_cast<std::int64_t>(sane(capture_.get(cv::CAP_PROP_FRAME_COUNT), 1e9))};
    rotation_ = take_over_rotation(capture_);
  }

  bool read(RawFrame& frame) override {
    if (!decode(frame)) {
      check_end(frame.number);
      return false;
    }
    const double at = capture_.get(cv::CAP_PROP_POS_MSEC) / 1000;
    // in place of a time of 0 OpenCV gives that of decoding, which is earlier
    if (frame.number == 0) first_ = std::max(at, 0.0);
    const double step = header_.frames_per_second > 0 ? 1 / header_.frames_per_second : 0;
    // the last frames of some files come without a time
    const bool timed = frame.number > 0 && at - first_ > last_;
    frame.seconds = frame.number == 0 ? 0 : timed ? at - first_ : last_ + step;
    if (timed) times_.add(frame.number, frame.seconds, last_);
    last_ = frame.seconds;
    return true;
  }

  MissingFrames missing_frames() const override {
    MissingFrames missing = times_.missing();
    missing.promised_seconds = promised_seconds_;
    return missing;
  }

 private:
  /// OpenCV ends at the first packet that does not decode; the frames behind it are still there.
  bool decode(RawFrame& frame) {
    constexpr int kMostBadPackets = 512;
    cv::Mat& image = rotation_ ? unturned_ : frame.image;
    bool found = false;
    for (int packet = 0; packet < kMostBadPackets && !found; ++packet) found = capture_.read(image) && !image.empty();
    if (found && rotation_) cv::rotate(image, frame.image, *rotation_);
    return found;
  }

  /// A header's count is no promise: an edit list may show a part of the frames only, and where the rate varies or
  /// sound goes on, the count is an estimate. The file is cut short where frames and time are missing, and bytes, too.
  void check_end(std::int64_t read) {
    constexpr double kShare = 0.98;
    const auto announced = static_cast<double>(header_.frame_count), frames = static_cast<double>(read);
    if (announced - frames <= 2 || frames >= kShare * announced) return;
    const VideoContainer container = read_container(path_);
    const double rate = header_.frames_per_second;
    const double by_count = rate > 0 ? announced / rate : 0;
    const double seconds = container.shown_seconds > 0 ? container.shown_seconds : by_count;
    if (rate > 0 && last_ + 1 / rate >= kShare * seconds) return;
    std::error_code ignored;
    const std::uintmax_t bytes = fs::file_size(path_, ignored);
    check<IoError>(container.claimed_bytes <= bytes, source_, ": frame ", read, ": the file ends here, with ", bytes,
                   " of ", container.claimed_bytes, " bytes and ", read, " of ", header_.frame_count,
                   " frames: it is cut short");
    promised_seconds_ = seconds;
  }

  std::string source_;
  fs::path path_;
  cv::VideoCapture capture_;
  std::optional<cv::RotateFlags> rotation_;
  cv::Mat unturned_;
  FrameTimes times_;
  double first_ = 0, last_ = 0, promised_seconds_ = 0;
};

}  // namespace

std::unique_ptr<RawFrames> open_video_file(const std::string& source, const fs::path& path) {
  return std::make_unique<VideoFrames>(source, path);
}

}  // namespace voxshift
