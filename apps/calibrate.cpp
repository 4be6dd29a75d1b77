// `voxshift calibrate`: thresholds of `recognize --skip auto`.
#include <voxshift/graph/safetensors.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/calibrate_skip.h>

#include <algorithm>
#include <cstdio>

#include "commands.h"
#include "recognize_report.h"
#include "report.h"
#include "video_files.h"

namespace voxshift {
namespace {

/// Every second one is filmed by a panning camera.
Array synthetic_clip(int index, Extent2d extent, std::int64_t max_frames) {
  SynthVideoOptions options;
  options.frames = std::min(options.frames, max_frames);
  options.height = extent.height;
  options.width = extent.width;
  options.panning_camera = index % 2 == 1;
  const SynthClip clip = synth_video(static_cast<std::uint64_t>(index), options);
  return Array::from(clip.frames, {clip.count, clip.height, clip.width, 3});
}

void print_thresholds(const VideoNetwork& network, const SkipThresholds& thresholds) {
  std::printf("%-28s %9s\n", "layer", "threshold");
  std::printf("%-28s %9.4f\n", "frame", static_cast<double>(thresholds.frame));
  for (const FrameLayer& layer : network.layers()) {
    const auto found = thresholds.layers.find(layer.name);
    if (found != thresholds.layers.end())
      std::printf("%-28s %9.4f\n", layer.name.c_str(), static_cast<double>(found->second));
  }
  std::printf("%-28s %9.4f grey levels\n", "whole frame", static_cast<double>(thresholds.whole_frame));
}

// What the tensors of a model file are stored as: a file of f16 or bf16 is to stay one.
DType stored_as(const std::filesystem::path& path) {
  const auto tensors = read_safetensors(path).tensors;
  for (const DType dtype : {DType::kF16, DType::kBF16})
    if (std::ranges::all_of(tensors, [dtype](const auto& entry) { return entry.second.dtype() == dtype; }))
      return dtype;
  return DType::kF32;
}

}  // namespace

Array read_clip(const std::string& source, const FrameSourceOptions& options, std::int64_t max_frames) {
  const std::unique_ptr<FrameReader> reader = open_frames(source, options);
  check<IoError>(!reader->live(), source, ": a camera has no end; expected videos and folders of images");
  std::vector<std::uint8_t> pixels;
  std::int64_t count = 0;
  for (; count < max_frames; ++count) {
    const std::optional<SourceFrame> frame = reader->next();
    if (!frame) break;
    const auto values = frame->pixels.values<std::uint8_t>();
    pixels.insert(pixels.end(), values.begin(), values.end());
  }
  warn_of_missing(source, reader->missing_frames());
  return Array::from(pixels, {count, options.size.height, options.size.width, 3});
}

int calibrate_thresholds(const CalibrateOptions& options) {
  const VideoNetwork network = load_video_network(options.model, "cpu", "auto");
  const FrameSourceOptions source = source_options(network);
  std::vector<Array> clips;
  for (const std::string& clip : options.clips) clips.push_back(read_clip(clip, source, options.max_frames));
  for (int i = 0; i < options.synthetic; ++i) clips.push_back(synthetic_clip(i, source.size, options.max_frames));

  std::optional<Progress> progress;
  const SkipCalibration found = about(options.model, [&] {
    return calibrate_skip(network, clips, options.budget, options.threads, [&](std::size_t done, std::size_t total) {
      if (!progress) progress.emplace(total);
      progress->show(done, "thresholds");
    });
  });
  progress.reset();
  const std::filesystem::path out = options.out.empty() ? options.model : options.out;
  network.model().with_skip_thresholds(found.thresholds).save(out, stored_as(options.model));
  print_thresholds(network, found.thresholds);
  std::printf("\n%.1f %% of the MACs, logits changed by %.4f (budget %g)\n  -> %s\n", 100 * found.mac_fraction,
              found.logit_change, options.budget, out.string().c_str());
  return 0;
}

}  // namespace voxshift
