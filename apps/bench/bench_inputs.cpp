#include "bench_inputs.h"

#include <voxshift/files/read_bytes.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

namespace voxshift::bench {
namespace {

constexpr std::uint64_t kSeed = 8;
constexpr std::int64_t kClipFrames = 16;
constexpr int kMovingRight = 1;  // of synth_video_classes()
constexpr std::size_t kColumns = 4;

/// Bytes of plane `p` of a frame without gaps; 0 where the format has no such plane.
std::size_t plane_bytes(const voxshift_frame& frame, std::size_t p) {
  const auto area = [](int width, int height) {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  };
  const std::size_t pixels = area(frame.width, frame.height);
  const std::size_t chroma = area((frame.width + 1) / 2, (frame.height + 1) / 2);
  if (frame.format == VOXSHIFT_RGB) return p == 0 ? 3 * pixels : 0;
  if (p == 0) return pixels;
  if (frame.format == VOXSHIFT_YUV420) return chroma;
  return p == 1 ? 2 * chroma : 0;
}

std::size_t frame_bytes(const voxshift_frame& frame) {
  return plane_bytes(frame, 0) + plane_bytes(frame, 1) + plane_bytes(frame, 2);
}

BenchInput synthetic_clip(const voxshift_model_info& model, bool panning) {
  SynthVideoOptions options;
  options.frames = kClipFrames;
  options.height = model.frame_height;
  options.width = model.frame_width;
  options.label = kMovingRight;
  options.panning_camera = panning;
  BenchInput clip{panning ? "panning camera" : "still camera"};
  clip.bytes = synth_video(kSeed, options).frames;
  clip.layout.width = model.frame_width;
  clip.layout.height = model.frame_height;
  clip.count = kClipFrames;
  return clip;
}

BenchInput synthetic_scan() {
  BenchInput scan{"street"};
  scan.points = synth_lidar(kSeed).points;
  scan.count = static_cast<std::int64_t>(scan.points.size() / kColumns);
  return scan;
}

std::optional<voxshift_pixel_format> raw_format(const std::filesystem::path& file) {
  static constexpr std::pair<const char*, voxshift_pixel_format> kSuffixes[] = {
      {".rgb", VOXSHIFT_RGB}, {".nv12", VOXSHIFT_NV12}, {".nv21", VOXSHIFT_NV21}, {".i420", VOXSHIFT_YUV420}};
  for (const auto& [suffix, format] : kSuffixes)
    if (file.extension() == suffix) return format;
  return {};
}

BenchInput clip_of_file(const std::string& file, voxshift_pixel_format format, const BenchOptions& options) {
  check(options.width > 0, file, ": raw frames need --size WIDTHxHEIGHT");
  BenchInput clip{std::filesystem::path(file).filename().string()};
  clip.layout.format = format;
  clip.layout.width = options.width;
  clip.layout.height = options.height;
  clip.layout.rotation = options.rotation;
  const std::string bytes = read_bytes(file, "frames");
  clip.bytes.assign(bytes.begin(), bytes.end());
  const std::size_t each = frame_bytes(clip.layout);
  check<IoError>(clip.bytes.size() % each == 0, file, ": expected frames of ", each, " bytes each, found ",
                 clip.bytes.size(), " bytes");
  clip.count = static_cast<std::int64_t>(clip.bytes.size() / each);
  return clip;
}

BenchInput scan_of_file(const std::string& file) {
  BenchInput scan{std::filesystem::path(file).filename().string()};
  const std::string bytes = read_bytes(file, "points");
  constexpr std::size_t kPointBytes = kColumns * sizeof(float);
  check<IoError>(bytes.size() % kPointBytes == 0, file, ": expected points of ", kPointBytes,
                 " bytes each, x y z remission as float32, found ", bytes.size(), " bytes");
  scan.points.resize(bytes.size() / sizeof(float));
  std::memcpy(scan.points.data(), bytes.data(), bytes.size());
  scan.count = static_cast<std::int64_t>(bytes.size() / kPointBytes);
  return scan;
}

BenchInput input_of_file(const std::string& file, const BenchOptions& options) {
  const std::optional<voxshift_pixel_format> format = raw_format(file);
  return format ? clip_of_file(file, *format, options) : scan_of_file(file);
}

}  // namespace

voxshift_frame BenchInput::frame(std::int64_t number) const {
  const std::int64_t turn = std::max<std::int64_t>(2 * (count - 1), 1), at = number % turn;
  const std::uint8_t* plane =
      bytes.data() + static_cast<std::size_t>(at < count ? at : turn - at) * frame_bytes(layout);
  voxshift_frame frame = layout;
  for (std::size_t p = 0; p < 3; ++p) {
    frame.planes[p].bytes = plane_bytes(layout, p);
    if (frame.planes[p].bytes > 0) frame.planes[p].data = plane;
    plane += frame.planes[p].bytes;
  }
  return frame;
}

std::vector<BenchInput> inputs_of(const voxshift_model_info& model, const BenchOptions& options) {
  const bool wants_frames = model.task == VOXSHIFT_TASK_RECOGNIZE;
  std::vector<BenchInput> inputs;
  for (const std::string& file : options.inputs)
    if (raw_format(file).has_value() == wants_frames) inputs.push_back(input_of_file(file, options));
  if (!options.inputs.empty()) return inputs;
  if (!wants_frames) {
    inputs.push_back(synthetic_scan());
    return inputs;
  }
  for (const bool panning : {false, true}) inputs.push_back(synthetic_clip(model, panning));
  return inputs;
}

}  // namespace voxshift::bench
