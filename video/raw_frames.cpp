// Folders of images, cameras, and what a source's name stands for.
#include <voxshift/files/files.h>
#include <voxshift/tensor/error.h>
#include <voxshift/video/raw_frames.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/videoio.hpp>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace voxshift {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kImages = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return lower(c); });
  return text;
}

class FolderFrames final : public RawFrames {
 public:
  FolderFrames(const std::string& source, const fs::path& folder) : source_(source) {
    files_ = list_files(folder, [](const fs::path& file) {
      return std::ranges::find(kImages, lower(file.extension().string())) != kImages.end();
    });
    check<IoError>(!files_.empty(), source, ": folder holds no .png, .jpg, .bmp, .webp, .tif or .ppm file");
    header_ = {kRate, static_cast<std::int64_t>(files_.size())};
  }

  bool read(RawFrame& frame) override {
    if (frame.number >= header_.frame_count) return false;
    const fs::path& path = files_[static_cast<std::size_t>(frame.number)];
    const auto says = [&](bool good, const char* what) {
      if (!good) check<IoError>(false, source_, ": frame ", frame.number, ": ", path.filename().string(), " ", what);
    };
    std::error_code ignored;
    says(fs::is_regular_file(path, ignored), "is not a file");
    std::ifstream file(path, std::ios::binary);
    const std::vector<unsigned char> bytes(std::istreambuf_iterator<char>(file), {});
    says(file.good() || file.eof(), "cannot be read");
    says(is_whole(bytes), "is cut short");
    if (!bytes.empty()) frame.image = cv::imdecode(bytes, cv::IMREAD_COLOR);
    says(!bytes.empty() && !frame.image.empty(), "is no image that OpenCV reads");
    frame.seconds = static_cast<double>(frame.number) / kRate;
    return true;
  }

 private:
  static constexpr double kRate = 25;

  /// Decoders of JPEG fill in what is missing, so the mark at its end is looked for.
  static bool is_whole(const std::vector<unsigned char>& bytes) {
    constexpr unsigned char kStart[] = {0xFF, 0xD8}, kEnd[] = {0xFF, 0xD9};
    if (bytes.size() < 4 || !std::equal(std::begin(kStart), std::end(kStart), bytes.begin())) return true;
    return std::find_end(bytes.begin(), bytes.end(), std::begin(kEnd), std::end(kEnd)) != bytes.end();
  }

  std::string source_;
  std::vector<fs::path> files_;
};

class CameraFrames final : public RawFrames {
 public:
  /// By its number, or by a device or address that OpenCV opens.
  CameraFrames(const std::string& source, std::optional<int> number, const std::string& address) : source_(source) {
    check<IoError>(number ? capture_.open(*number) : capture_.open(address), source,
                   number ? ": no such camera" : ": the stream cannot be opened");
    const double rate = capture_.get(cv::CAP_PROP_FPS);
    header_ = {rate > 0 && rate <= 1e4 ? rate : 0, 0, true};
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

std::optional<int> camera_number(const std::string& source) {
  constexpr std::size_t kMostDigits = 3;
  int number = 0;
  const auto [end, error] = std::from_chars(source.data(), source.data() + source.size(), number);
  const bool whole = error == std::errc() && end == source.data() + source.size();
  return whole && number >= 0 && source.size() <= kMostDigits ? std::optional(number) : std::nullopt;
}

/// Every %XX is the byte of that value; the byte 0 ends no path.
std::string percent_decoded(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char value = 0;
    const std::string_view digits = text[i] == '%' ? text.substr(i + 1, 2) : std::string_view();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    const bool escaped = digits.size() == 2 && error == std::errc() && end == digits.data() + 2 && value != 0;
    bytes += escaped ? static_cast<char>(value) : text[i];
    if (escaped) i += 2;
  }
  return bytes;
}

/// The path in a URL of the scheme "file" (RFC 8089); nothing where `source` is no such URL.
std::optional<fs::path> path_of_url(const std::string& source) {
  constexpr std::string_view kScheme = "file:";
  if (lower(source.substr(0, kScheme.size())) != kScheme) return std::nullopt;
  std::string_view path = std::string_view(source).substr(kScheme.size());
  if (path.starts_with("//")) {
    path.remove_prefix(2);
    const std::string_view host = path.substr(0, path.find('/'));
    check<IoError>(host.empty() || lower(std::string(host)) == "localhost", source,
                   ": expected file:///PATH, found the host \"", host, "\"");
    path.remove_prefix(host.size());
  }
  if (!path.starts_with('/')) return std::nullopt;
  return percent_decoded(path);
}

/// Video4Linux's devices; other character devices (terminals, /dev/zero) may never end or never begin.
bool is_camera(const fs::path& device) {
  std::error_code ignored;
  return fs::canonical(device, ignored).filename().native().starts_with("video");
}

}  // namespace

std::unique_ptr<RawFrames> open_raw_frames(const std::string& source) {
  std::error_code error;
  const bool there = fs::exists(source, error);  // what is there is a file, whatever its name looks like
  const fs::path path = there ? fs::path(source) : path_of_url(source).value_or(source);
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) return std::make_unique<FolderFrames>(source, path);
  if (fs::is_regular_file(status)) return open_video_file(source, path);
  if (fs::is_character_file(status) && is_camera(path))
    return std::make_unique<CameraFrames>(source, std::nullopt, path.string());
  check<IoError>(!fs::exists(status), source, ": is neither a file nor a folder nor a camera");
  if (const auto number = camera_number(source)) return std::make_unique<CameraFrames>(source, number, "");
  check<IoError>(source.find("://") != std::string::npos && path == source, source, ": no such file or folder");
  return std::make_unique<CameraFrames>(source, std::nullopt, source);
}

}  // namespace voxshift
