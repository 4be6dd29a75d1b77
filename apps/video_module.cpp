// The part of libvoxshift_video that reads frames.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "video_files.h"

namespace voxshift {
namespace {

/// The decoders below OpenCV (libpng, libjpeg, camera drivers) write to standard error; while this lives, into nothing.
/// The command itself writes there from the same thread only.
class QuietStandardError {
 public:
  QuietStandardError() : kept_(dup(STDERR_FILENO)) {
    std::fflush(stderr);
    const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (kept_ >= 0 && nothing >= 0) dup2(nothing, STDERR_FILENO);
    if (nothing >= 0) close(nothing);
  }
  ~QuietStandardError() {
    std::fflush(stderr);
    if (kept_ < 0) return;
    dup2(kept_, STDERR_FILENO);
    close(kept_);
  }
  QuietStandardError(const QuietStandardError&) = delete;
  QuietStandardError& operator=(const QuietStandardError&) = delete;

 private:
  int kept_;
};

class Source final : public FrameReader {
 public:
  Source(const std::string& source, const FrameSourceOptions& options) : source_(source, options) {}

  std::optional<SourceFrame> next() override {
    const QuietStandardError quiet;
    return source_.next();
  }
  double frames_per_second() const override { return source_.frames_per_second(); }
  std::int64_t frame_count() const override { return source_.frame_count(); }
  MissingFrames missing_frames() const override { return source_.missing_frames(); }
  bool live() const override { return source_.live(); }

 private:
  FrameSource source_;
};

}  // namespace
}  // namespace voxshift

void voxshift_video_open(const std::string& source, const voxshift::FrameSourceOptions& options,
                         std::unique_ptr<voxshift::FrameReader>& reader) {
  const voxshift::QuietStandardError quiet;
  reader = std::make_unique<voxshift::Source>(source, options);
}
