#include <voxshift/tensor/error.h>
#include <voxshift/video/frame_source.h>
#include <voxshift/video/latest_frame.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <opencv2/videoio/registry.hpp>
#include <system_error>
#include <thread>
#include <vector>

namespace voxshift {
namespace {

namespace fs = std::filesystem;

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

/// An image as it was read, before it is resized.
struct RawFrame {
  cv::Mat image;
  std::int64_t number = 0;
  double seconds = 0;
};

/// What a file says of itself; 0 where it does not say.
struct SourceHeader {
  double frames_per_second = 0;
  std::int64_t frame_count = 0;
  bool live = false;
};

SourceHeader header_of(const cv::VideoCapture& capture) {
  const auto sane = [](double value, double most) { return value > 0 && value <= most ? value : 0; };
  return {sane(capture.get(cv::CAP_PROP_FPS), 1e4),
          static_cast<std::int64_t>(sane(capture.get(cv::CAP_PROP_FRAME_COUNT), 1e9))};
}

/// Where images come from.
class Reader {
 public:
  virtual ~Reader() = default;
  /// The frame of that number; false at the end.
  virtual bool read(RawFrame& frame) = 0;
  const SourceHeader& header() const { return header_; }

 protected:
  SourceHeader header_;
};

class ImageFolder final : public Reader {
 public:
  explicit ImageFolder(const std::string& source) : source_(source) {
    std::error_code error;
    fs::directory_iterator entry(source, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error))
      if (is_image(entry->path())) files_.push_back(entry->path());
    check<IoError>(!error, source, ": cannot be listed: ", error.message());
    check<IoError>(!files_.empty(), source, ": folder holds no .png, .jpg, .jpeg or .bmp file");
    std::ranges::sort(files_);
    header_ = {kRate, static_cast<std::int64_t>(files_.size())};
  }

  bool read(RawFrame& frame) override {
    if (frame.number >= header_.frame_count) return false;
    const fs::path& path = files_[static_cast<std::size_t>(frame.number)];
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
    const auto says = [&](bool good, const char* what) {
      check<IoError>(good, source_, ": frame ", frame.number, ": ", path.filename().string(), " ", what);
    };
    says(file.good() || file.eof(), "cannot be read");
    says(is_whole(bytes), "is cut short");
    if (!bytes.empty()) frame.image = cv::imdecode(bytes, cv::IMREAD_COLOR);
    says(!bytes.empty() && !frame.image.empty(), "is no image that OpenCV reads");
    frame.seconds = static_cast<double>(frame.number) / kRate;
    return true;
  }

 private:
  static constexpr double kRate = 25;

  static bool is_image(const fs::path& path) {
    std::string extension = path.extension().string();
    std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
    return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp";
  }

  /// Decoders of JPEG fill in what is missing, so the mark at its end is looked for.
  static bool is_whole(const std::vector<char>& bytes) {
    constexpr char kStart[] = {'\xFF', '\xD8'}, kEnd[] = {'\xFF', '\xD9'};
    if (bytes.size() < 4 || !std::equal(std::begin(kStart), std::end(kStart), bytes.begin())) return true;
    return std::find_end(bytes.begin(), bytes.end(), std::begin(kEnd), std::end(kEnd)) != bytes.end();
  }

  std::string source_;
  std::vector<fs::path> files_;
};

class VideoFile final : public Reader {
 public:
  explicit VideoFile(const std::string& source) : source_(source) {
    std::error_code error;
    check<IoError>(fs::exists(source, error), source, ": no such file or folder");
    check<IoError>(fs::file_size(source, error) > 0 || error, source, ": the file is empty");
    const bool ffmpeg = cv::videoio_registry::hasBackend(cv::CAP_FFMPEG);
    check<IoError>(capture_.open(source, ffmpeg ? cv::CAP_FFMPEG : cv::CAP_ANY), source,
                   ": no video that OpenCV reads, or one that is cut short");
    header_ = header_of(capture_);
  }

  bool read(RawFrame& frame) override {
    if (!capture_.read(frame.image) || frame.image.empty()) {
      check_end(frame.number);
      return false;
    }
    const double at = capture_.get(cv::CAP_PROP_POS_MSEC) / 1000;
    if (frame.number == 0) first_ = at;
    const double step = header_.frames_per_second > 0 ? 1 / header_.frames_per_second : 0;
    // the last frames of some files come without a time
    frame.seconds = frame.number == 0 ? 0 : at - first_ > last_ ? at - first_ : last_ + step;
    last_ = frame.seconds;
    return true;
  }

 private:
  /// Headers may be a little off, and where the rate varies the count is an estimate: the file is cut short when both
  /// frames and time are missing.
  void check_end(std::int64_t read) const {
    constexpr double kShare = 0.98;
    const auto announced = static_cast<double>(header_.frame_count);
    const double rate = header_.frames_per_second;
    const double missing = announced - static_cast<double>(read);
    const bool early = rate == 0 || last_ + 1 / rate < kShare * announced / rate;
    check<IoError>(missing <= 2 || static_cast<double>(read) >= kShare * announced || !early, source_, ": frame ", read,
                   ": the file ends here, its header promises ", header_.frame_count,
                   " frames: it is cut short or damaged");
  }

  std::string source_;
  cv::VideoCapture capture_;
  double first_ = 0, last_ = 0;
};

class Camera final : public Reader {
 public:
  explicit Camera(const std::string& source) : source_(source) {
    const bool number = std::ranges::all_of(source, [](unsigned char c) { return std::isdigit(c) != 0; });
    const bool opened = number ? capture_.open(std::atoi(source.c_str())) : capture_.open(source);
    check<IoError>(opened, source, number ? ": no such camera" : ": the stream cannot be opened");
    header_ = {header_of(capture_).frames_per_second, 0, true};
  }

  bool read(RawFrame& frame) override {
    check<IoError>(capture_.read(frame.image) && !frame.image.empty(), source_, ": frame ", frame.number,
                   ": the camera or stream gives no more frames");
    const auto now = std::chrono::steady_clock::now();
    if (frame.number == 0) start_ = now;
    frame.seconds = std::chrono::duration<double>(now - start_).count();
    return true;
  }

 private:
  std::string source_;
  cv::VideoCapture capture_;
  std::chrono::steady_clock::time_point start_;
};

std::unique_ptr<Reader> open_reader(const std::string& source) {
  std::error_code ignored;
  const bool digits = !source.empty() && source.size() <= 3 &&
                      std::ranges::all_of(source, [](unsigned char c) { return std::isdigit(c) != 0; });
  const fs::file_status status = fs::status(source, ignored);
  if (fs::is_directory(status)) return std::make_unique<ImageFolder>(source);
  if (fs::is_character_file(status) || (!fs::exists(status) && (digits || source.find("://") != std::string::npos)))
    return std::make_unique<Camera>(source);
  return std::make_unique<VideoFile>(source);
}

/// 8-bit blue, green, red of any image with 8 or 16 bits and 1, 3 or 4 channels.
cv::Mat as_bgr(const cv::Mat& image, const std::string& where) {
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
cv::Mat resized_middle(const cv::Mat& image, const FrameSourceOptions& options, const std::string& where) {
  const int shorter = std::min(image.cols, image.rows), longer = std::max(image.cols, image.rows);
  constexpr int kMaxAspect = 64;  // bounds the memory
  check<IoError>(longer <= kMaxAspect * shorter, where, "no side may be more than ", kMaxAspect,
                 " times the other, found ", image.cols, " x ", image.rows);
  const auto scaled = [&](int side) { return static_cast<int>(options.resize * side / shorter); };
  const cv::Size size(scaled(image.cols), scaled(image.rows));
  const cv::Rect middle((size.width - static_cast<int>(options.size.width)) / 2,
                        (size.height - static_cast<int>(options.size.height)) / 2, static_cast<int>(options.size.width),
                        static_cast<int>(options.size.height));
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
        reader(open_reader(name)) {
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
      throw IoError(where(number) + reason(error));
    }
    ++number;
    return frame;
  }

  std::optional<SourceFrame> next() {
    std::optional<RawFrame> frame = first ? std::exchange(first, std::nullopt) : latest ? latest->take() : read_next();
    if (!frame) return std::nullopt;
    const std::string place = where(frame->number);
    check<IoError>(frame->image.size() == extent, place, "expected ", extent.width, " x ", extent.height,
                   " pixels as in the first frame, found ", frame->image.cols, " x ", frame->image.rows);
    try {
      const cv::Mat middle = resized_middle(as_bgr(frame->image, place), options, place);
      cv::Mat rgb(middle.rows, middle.cols, CV_8UC3, pixels.memory());
      cv::cvtColor(middle, rgb, cv::COLOR_BGR2RGB);
    } catch (const cv::Exception& error) {
      throw IoError(place + reason(error));
    }
    return SourceFrame{pixels, frame->number, frame->seconds};
  }

  std::string where(std::int64_t frame) const { return source + ": frame " + std::to_string(frame) + ": "; }

  std::string source;
  FrameSourceOptions options;
  Array pixels;
  std::unique_ptr<Reader> reader;
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

bool FrameSource::live() const { return impl_->reader->header().live; }

}  // namespace voxshift
