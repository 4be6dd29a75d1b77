// Draws recognised frames, encodes images and videos.
#include <voxshift/tensor/error.h>
#include <voxshift/video/video_container.h>

#include <cmath>
#include <cstdlib>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <system_error>

#include "opencv_text.h"
#include "video_files.h"

namespace {

using namespace voxshift;

constexpr int kShortestSide = 480;  // of the enlarged frame
constexpr int kCaption = 92;        // height below it
constexpr int kMargin = 16;

cv::Mat view(const std::uint8_t* pixels, std::int64_t height, std::int64_t width) {
  return {static_cast<int>(height), static_cast<int>(width), CV_8UC3, const_cast<std::uint8_t*>(pixels)};
}

class OpenCvWriter final : public FrameWriter {
 public:
  OpenCvWriter(const std::filesystem::path& path, const VideoFormat& format) : path_(path), format_(format) {
    const cv::Size size(static_cast<int>(format.extent.width), static_cast<int>(format.extent.height));
    const bool lossless = path.extension() == ".mkv";
    const int codec =
        lossless ? cv::VideoWriter::fourcc('F', 'F', 'V', '1') : cv::VideoWriter::fourcc('m', 'p', '4', 'v');
    ::setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);  // AV_LOG_QUIET, unless the user says otherwise
    check<IoError>(writer_.open(path.string(), cv::CAP_FFMPEG, codec, format.frames_per_second, size), path.string(),
                   ": cannot be written as a video");
  }

  void write(std::span<const std::uint8_t> pixels) override {
    cv::cvtColor(view(pixels.data(), format_.extent.height, format_.extent.width), bgr_, cv::COLOR_RGB2BGR);
    writer_.write(bgr_);
  }

  /// OpenCV does not tell what FFmpeg could not write. FFmpeg writes nothing after the first failure, and last of all
  /// an MP4's index and the size of Matroska's segment: where they are right, all is there.
  bool close() override {
    writer_.release();
    std::error_code error;
    const std::uintmax_t bytes = std::filesystem::file_size(path_, error);
    const VideoContainer container = read_container(path_);
    const bool indexed = path_.extension() == ".mkv" || container.shown_seconds > 0;
    return !error && bytes > 0 && container.claimed_bytes == bytes && indexed;
  }

 private:
  std::filesystem::path path_;
  VideoFormat format_;
  cv::VideoWriter writer_;
  cv::Mat bgr_;
};

/// Without colour and pale, so that what was recomputed stands out.
cv::Mat greyed(const cv::Mat& rgb) {
  cv::Mat grey, pale;
  cv::cvtColor(rgb, grey, cv::COLOR_RGB2GRAY);
  grey.convertTo(grey, CV_8U, 0.45, 96);
  cv::cvtColor(grey, pale, cv::COLOR_GRAY2RGB);
  return pale;
}

int even(int side) { return side + side % 2; }  // as video codecs want it

}  // namespace

void voxshift_video_create(const std::filesystem::path& path, const VideoFormat& format,
                           std::unique_ptr<FrameWriter>& writer) {
  writer = std::make_unique<OpenCvWriter>(path, format);
}

void voxshift_video_encode_png(std::span<const std::uint8_t> pixels, Extent2d extent, std::vector<std::uint8_t>& png) {
  cv::Mat bgr;
  cv::cvtColor(view(pixels.data(), extent.height, extent.width), bgr, cv::COLOR_RGB2BGR);
  check<Error>(cv::imencode(".png", bgr, png), "[encode_png] OpenCV cannot encode a PNG");
}

void voxshift_video_draw(const RecognizedFrame& frame, Image& image) {
  const auto height = static_cast<int>(frame.pixels.dim(0)), width = static_cast<int>(frame.pixels.dim(1));
  const cv::Mat rgb = view(frame.pixels.data<std::uint8_t>(), height, width);
  const int times = (kShortestSide + std::min(height, width) - 1) / std::min(height, width);
  cv::Mat shown;
  cv::resize(rgb, shown, {}, times, times, cv::INTER_LINEAR);
  if (!frame.recomputed.empty()) {
    const cv::Mat recomputed(height, width, CV_8U, const_cast<std::uint8_t*>(frame.recomputed.data()));
    cv::Mat kept;
    cv::resize(recomputed == 0, kept, {}, times, times, cv::INTER_NEAREST);
    greyed(shown).copyTo(shown, kept);
  }
  image.height = even(shown.rows + kCaption);
  image.width = even(shown.cols);
  image.pixels.resize(static_cast<std::size_t>(image.height * image.width * 3));
  cv::Mat canvas = view(image.pixels.data(), image.height, image.width);
  canvas = blue_green_red(kBackground);
  shown.copyTo(canvas(cv::Rect(0, 0, shown.cols, shown.rows)));

  const auto at_scale = [](double scale) {
    return [scale](const std::string& text) { return text_width(text, scale); };
  };
  char score[32];
  std::snprintf(score, sizeof(score), "%.2f", frame.score);
  const int score_width = text_width(score, 1.0), room = shown.cols - 2 * kMargin;
  put_text(canvas, fitting_text(frame.label, room - score_width - kMargin, at_scale(1.0)), {kMargin, shown.rows + 40},
           1.0, blue_green_red(kText));
  put_text(canvas, score, {shown.cols - kMargin - score_width, shown.rows + 40}, 1.0, blue_green_red(kText));
  put_text(canvas, fitting_text(frame.note, room, at_scale(0.6)), {kMargin, shown.rows + 74}, 0.6,
           blue_green_red(kFaint));
}
