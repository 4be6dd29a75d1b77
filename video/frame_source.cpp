#include <voxshift/tensor/error.h>
#include <voxshift/video/frame_cut.h>
#include <voxshift/video/frame_source.h>
#include <voxshift/video/latest_frame.h>
#include <voxshift/video/raw_frames.h>

#include <algorithm>
#include <cstdlib>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgproc.hpp>
#include <ostream>
#include <string>
#include <thread>

namespace voxshift {
namespace {

/// Keeps OpenCV and FFmpeg from printing while it lives; what went wrong becomes an exception.
class Silence {
 public:
  Silence() : level_(cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT)) {
    constexpr int kKeepUsers = 0;
    static const int ignored = ::setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", kKeepUsers);  // AV_LOG_QUIET, read once
    (void)ignored;
  }
  ~Silence() { cv::utils::logging::setLogLevel(level_); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  cv::utils::logging::LogLevel level_;
};

/// OpenCV's message in one line.
std::string reason(const cv::Exception& error) { return "OpenCV: " + error.err; }

/// A frame as messages name it; its text is made for those only.
struct FramePlace {
  const std::string& source;
  std::int64_t number;

  std::string text() const { return source + ": frame " + std::to_string(number) + ": "; }
};

std::ostream& operator<<(std::ostream& out, const FramePlace& place) { return out << place.text(); }

/// 8-bit blue, green, red of any image with 8 or 16 bits and 1, 3 or 4 channels.
cv::Mat as_bgr(const cv::Mat& image, const FramePlace& where) {
  cv::Mat bytes = image;
  check<IoError>(image.depth() == CV_8U || image.depth() == CV_16U, where, "expected 8 or 16 bits a channel");
  if (image.depth() == CV_16U) image.convertTo(bytes, CV_8U, 1.0 / 257);
  check<IoError>(bytes.channels() == 1 || bytes.channels() == 3 || bytes.channels() == 4, where,
                 "expected 1, 3 or 4 channels, found ", bytes.channels());
  if (bytes.channels() == 3) return bytes;
  cv::Mat bgr;
  cv::cvtColor(bytes, bgr, bytes.channels() == 1 ? cv::COLOR_GRAY2BGR : cv::COLOR_BGRA2BGR);
  return bgr;
}

/// Scales the shorter side to `resize`, the longer one in proportion (rounded down), cuts out the middle.
cv::Mat resized_middle(const cv::Mat& image, const FrameSourceOptions& options, const FramePlace& where) {
  const Extent2d extent{image.rows, image.cols};
  const std::int64_t shorter = std::min(extent.height, extent.width), longer = std::max(extent.height, extent.width);
  check<IoError>(longer <= kMostAspect * shorter, where, "no side may be more than ", kMostAspect,
                 " times the other, found ", image.cols, " x ", image.rows);
  const FrameCut cut = cut_middle(extent, options.resize, options.size);
  const auto rectangle = [](std::int64_t left, std::int64_t top, Extent2d part) {
    return cv::Rect(static_cast<int>(left), static_cast<int>(top), static_cast<int>(part.width),
                    static_cast<int>(part.height));
  };
  const cv::Rect middle = rectangle(cut.left, cut.top, options.size);
  const cv::Size size = rectangle(0, 0, cut.scaled).size();
  if (size == image.size()) return image(middle);
  cv::Mat resized;
  cv::resize(image, resized, size, 0, 0, options.resize < shorter ? cv::INTER_AREA : cv::INTER_LINEAR);
  return resized(middle);
}

}  // namespace

struct FrameSource::Impl {
  Impl(const std::string& name, const FrameSourceOptions& given)
      : source(name),
        options(given),
        pixels({given.size.height, given.size.width, 3}, DType::kU8),
        reader(open_raw_frames(name)) {
    first = read_next();
    check<IoError>(first.has_value(), source, ": holds no frame");
    extent = first->image.size();
    if (options.latest && reader->header().live) {
      latest = std::make_unique<LatestFrame<RawFrame>>();
      thread = std::jthread([this](const std::stop_token& stop) { read_ahead(stop); });
    }
  }

  /// OpenCV may hand out the same memory for every image, so another thread needs a copy.
  void read_ahead(const std::stop_token& stop) {
    try {
      while (!stop.stop_requested()) {
        std::optional<RawFrame> frame = read_next();
        if (!frame) return latest->close();
        frame->image = frame->image.clone();
        latest->put(std::move(*frame));
      }
    } catch (...) {
      latest->close(std::current_exception());
    }
  }

  std::optional<RawFrame> read_next() {
    const Silence silence;
    RawFrame frame;
    frame.number = number;
    try {
      if (!reader->read(frame)) return std::nullopt;
    } catch (const cv::Exception& error) {
      throw IoError(where(number).text() + reason(error));
    }
    ++number;
    return frame;
  }

  std::optional<SourceFrame> next() {
    std::optional<RawFrame> frame = first ? std::exchange(first, std::nullopt) : latest ? latest->take() : read_next();
    if (!frame) return std::nullopt;
    const FramePlace place = where(frame->number);
    check<IoError>(frame->image.size() == extent, place, "expected ", extent.width, " x ", extent.height,
                   " pixels as in the first frame, found ", frame->image.cols, " x ", frame->image.rows);
    try {
      const cv::Mat middle = resized_middle(as_bgr(frame->image, place), options, place);
      cv::Mat rgb(middle.rows, middle.cols, CV_8UC3, pixels.memory());
      cv::cvtColor(middle, rgb, cv::COLOR_BGR2RGB);
    } catch (const cv::Exception& error) {
      throw IoError(place.text() + reason(error));
    }
    return SourceFrame{pixels, frame->number, frame->seconds};
  }

  FramePlace where(std::int64_t frame) const { return {source, frame}; }

  std::string source;
  FrameSourceOptions options;
  Array pixels;
  std::unique_ptr<RawFrames> reader;
  std::int64_t number = 0;
  std::optional<RawFrame> first;  ///< read when the source was opened
  cv::Size extent;
  std::unique_ptr<LatestFrame<RawFrame>> latest;
  std::jthread thread;  ///< last: it ends before what it uses
};

namespace {

const FrameSourceOptions& checked(const FrameSourceOptions& options) {
  check(options.size.height >= 1 && options.size.width >= 1 &&
            std::max(options.size.height, options.size.width) <= options.resize && options.resize <= 4096,
        "[frame_source] expected a size of 1 to `resize` pixels and a resize of at most 4096, found ",
        options.size.height, " x ", options.size.width, " of ", options.resize);
  return options;
}

}  // namespace

FrameSource::FrameSource(const std::string& source, const FrameSourceOptions& options) {
  const Silence silence;
  try {
    impl_ = std::make_unique<Impl>(source, checked(options));
  } catch (const cv::Exception& error) {
    throw IoError(source + ": " + reason(error));
  }
}

FrameSource::~FrameSource() = default;
FrameSource::FrameSource(FrameSource&&) noexcept = default;
FrameSource& FrameSource::operator=(FrameSource&&) noexcept = default;

std::optional<SourceFrame> FrameSource::next() { return impl_->next(); }

double FrameSource::frames_per_second() const { return impl_->reader->header().frames_per_second; }

std::int64_t FrameSource::frame_count() const { return impl_->reader->header().frame_count; }

MissingFrames FrameSource::missing_frames() const { return impl_->reader->missing_frames(); }

bool FrameSource::live() const { return impl_->reader->header().live; }

}  // namespace voxshift
