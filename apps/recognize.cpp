// `voxshift recognize`: what happens in a video, frame by frame, or in a clip as a whole.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/files/number_text.h>
#include <voxshift/tasks/label_smoother.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "commands.h"
#include "pretrained.h"
#include "recognize_report.h"
#include "report.h"
#include "rrd.h"
#include "signals.h"
#include "trace.h"
#include "video_files.h"

namespace voxshift {
namespace {

std::string class_name(const Model& model, std::int64_t label) {
  const auto index = static_cast<std::size_t>(label);
  return index < model.classes().size() ? model.classes()[index].name : std::to_string(label);
}

/// The results of a stream: lines on the terminal, --json, --annotate, --stats.
class Results {
 public:
  Results(const RecognizeOptions& options, const Model& model) : options_(options), json_(options.json) {
    if (options.annotate.extension() == ".rrd") {
      recording_ = make_rrd(options.annotate, model.classes());
    } else if (!options.annotate.empty()) {
      check_video_name(options.annotate);
    }
  }

  void add(const SourceFrame& frame, const FrameRecord& record, const Recognizer& stream, double frames_per_second) {
    json_.write(record);
    stats_.add(record);
    if (!options_.annotate.empty()) annotate(frame, record, stream, frames_per_second);
    if (options_.json != "-" && record.label != label_) {
      std::printf("%9.2f s  frame %-7lld %-40s %.2f\n", record.time, static_cast<long long>(record.frame),
                  record.label.c_str(), record.score);
      std::fflush(stdout);
    }
    label_ = record.label;
  }

  /// What is there is kept, whatever ended the work. Throws IoError where not all of it could be written.
  void close() {
    if (video_) video_->finish();
    if (recording_ && stats_.frames() > 0) recording_->close();
    json_.close();
  }

  /// `error` says what ended the work early, else it is empty.
  void summarize(const Recognizer& stream, const std::string& error) {
    if (!options_.stats.empty()) stats_.write(options_.stats, options_.source, stream, options_.skip, error);
    if (options_.json == "-" || stats_.frames() == 0) return;
    std::printf("%s\n", stats_.summary().c_str());
    if (recording_ || (video_ && video_->finished())) std::printf("  -> %s\n", options_.annotate.string().c_str());
  }

  bool changes_label(const std::string& label) const { return label != label_; }
  RecognizeStats& stats() { return stats_; }

 private:
  void annotate(const SourceFrame& frame, const FrameRecord& record, const Recognizer& stream,
                double frames_per_second) {
    const FrameCost& cost = record.cost;
    if (recording_) {
      recording_->add({frame.number, frame.seconds, frame.pixels, stream.changed_pixels(), record.label, record.score,
                       cost.mac_fraction(), record.milliseconds()});
      return;
    }
    char note[128];
    std::snprintf(note, sizeof(note), "frame %lld   %.2f s   %.2f ms   %s", static_cast<long long>(record.frame),
                  record.time, record.milliseconds(),
                  cost.skipped ? "skipped"
                  : cost.dense ? "all pixels"
                               : "");
    std::string line = note;
    if (!cost.skipped && !cost.dense) {
      std::snprintf(note, sizeof(note), "%.0f %% of MACs", 100 * cost.mac_fraction());
      line += note;
    }
    const Image image =
        draw_frame({frame.pixels, cost.dense ? std::span<const std::uint8_t>() : stream.changed_pixels(), record.label,
                    record.score, line});
    if (!video_)
      video_ =
          std::make_unique<VideoFile>(options_.annotate, VideoFormat{{image.height, image.width}, frames_per_second});
    video_->write(image.pixels);
  }

  const RecognizeOptions& options_;
  JsonLines json_;
  RecognizeStats stats_;
  std::unique_ptr<VideoFile> video_;
  std::unique_ptr<RrdWriter> recording_;
  std::string label_;  ///< of the last frame
};

void trace_frame(Trace& trace, const SourceFrame& frame, const Recognizer& stream, Clock::time_point start) {
  if (!trace.wanted()) return;
  const FrameCost& cost = stream.cost();
  trace.compute("frame " + std::to_string(frame.number), {start, seconds_since(start)}, {{"network", cost.seconds}},
                stream.report(),
                {{"macs", cost.macs},
                 {"dense_macs", cost.dense_macs},
                 {"changed_pixels", cost.changed_pixels},
                 {"skipped", cost.skipped ? 1 : 0},
                 {"key_frame", cost.key_frame ? 1 : 0}});
}

int recognize_stream(const RecognizeOptions& options, const VideoNetwork& network) {
  StreamOptions stream_options = parse_skip(options.skip);
  stream_options.key_frame_interval = options.key_frames;
  stream_options.threads = options.threads;
  check<IoError>(stream_options.skip != Skip::kAuto || network.model().skip_thresholds().has_value(),
                 options.model.string(),
                 ": --skip auto needs thresholds, and this model was not calibrated: run "
                 "`voxshift calibrate` on it once");
  Recognizer stream = about(options.model, [&] { return Recognizer(network, stream_options); });
  LabelSmoother smoother(options.smooth);
  Trace trace(options.trace, "recognize");
  trace.about(name(network.device()), name(network.dtype()), stream.threads());
  stream.report_layers(trace.wanted());
  FrameSourceOptions frames = source_options(network);
  frames.latest = true;
  const std::unique_ptr<FrameReader> source = open_frames(options.source, frames);
  const double rate = source->frames_per_second() > 0 ? source->frames_per_second() : 25;
  Results results(options, network.model());

  const std::int64_t all = source->frame_count();
  const std::int64_t wanted = options.max_frames > 0 ? options.max_frames * options.every : all;
  Progress progress(static_cast<std::size_t>(all > 0 ? std::min(all, wanted) : 0));
  std::string error;
  std::int64_t expected = 0;
  const auto enough = [&] { return options.max_frames > 0 && results.stats().frames() >= options.max_frames; };
  stop_at_signals();
  try {
    while (stop_signal() == 0 && !enough()) {
      const Clock::time_point read_start = Clock::now();
      const std::optional<SourceFrame> frame = source->next();
      if (!frame) break;
      trace.stage(TraceRow::kRead, "frame " + std::to_string(frame->number), {read_start, seconds_since(read_start)});
      results.stats().add_dropped(frame->number - expected);
      expected = frame->number + 1;
      if (frame->number % options.every != 0 && !source->live()) continue;
      const Clock::time_point start = Clock::now();
      const FrameResult result = stream.push(frame->pixels);
      trace_frame(trace, *frame, stream, start);
      const int label = options.smooth > 1 ? smoother.push(result.logits) : result.label;
      const FrameRecord record{frame->number, frame->seconds, class_name(network.model(), label),
                               static_cast<double>(result.scores[static_cast<std::size_t>(label)]), result.cost};
      if (results.changes_label(record.label)) progress.clear();
      results.add(*frame, record, stream, rate / options.every);
      progress.show(static_cast<std::size_t>(frame->number + 1), record.label);
    }
  } catch (const std::bad_alloc&) {
    error = options.source + ": frame " + std::to_string(expected) + ": not enough memory";
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  progress.clear();
  try {
    results.close();
    trace.write();
  } catch (const std::exception& failure) {
    if (error.empty()) error = failure.what();
  }
  warn_of_missing(options.source, source->missing_frames());
  results.stats().set_missing(source->missing_frames().count);
  if (!error.empty()) print_error(error.c_str());
  results.summarize(stream, error);
  if (!error.empty()) return 1;
  constexpr int kSignalled = 128;  // as shells say it
  return stop_signal() != 0 && !source->live() ? kSignalled + stop_signal() : 0;
}

/// Number of frames of the source, which is read once for it.
std::int64_t count_frames(const RecognizeOptions& options, const FrameSourceOptions& frames) {
  const std::unique_ptr<FrameReader> source = open_frames(options.source, frames);
  check<IoError>(!source->live(), options.source,
                 ": this model takes a clip as a whole and cannot run on a camera; an online model can");
  Progress progress(static_cast<std::size_t>(source->frame_count()));
  std::int64_t count = 0;
  while (source->next() && (options.max_frames == 0 || count < options.max_frames))
    progress.show(static_cast<std::size_t>(++count), "counting");
  progress.clear();
  warn_of_missing(options.source, source->missing_frames());
  return count;
}

/// The middle frames of equal parts of the clip, as TSM samples for its tests.
std::vector<std::int64_t> middle_frames(std::int64_t count, std::int64_t segments) {
  std::vector<std::int64_t> frames;
  const double part = static_cast<double>(count) / static_cast<double>(segments);
  for (std::int64_t s = 0; s < segments; ++s)
    frames.push_back(static_cast<std::int64_t>(part / 2 + part * static_cast<double>(s)));
  return frames;
}

int recognize_whole(const RecognizeOptions& options, const VideoNetwork& network) {
  const auto needs_online = [&](bool given, const char* option) {
    check(!given, options.model.string(), ": ", option,
          " needs an online model; the shift of this one looks at the next frame and takes a clip as a whole");
  };
  needs_online(parse_skip(options.skip).skip != Skip::kOff, "--skip");
  needs_online(options.smooth > 1, "--smooth");
  needs_online(options.key_frames > 0, "--key-frames");
  needs_online(options.every > 1, "--every");
  needs_online(!options.annotate.empty(), "--annotate");
  needs_online(!options.stats.empty(), "--stats");
  needs_online(!options.trace.empty(), "--trace");
  const FrameSourceOptions frames = source_options(network);
  const std::int64_t count = count_frames(options, frames);
  const std::vector<std::int64_t> wanted =
      middle_frames(count, network.model().profile().frames.value_or(FrameProfile{}).segments);

  const auto segments = static_cast<std::int64_t>(wanted.size());
  Array clip({segments, frames.size.height, frames.size.width, 3}, DType::kU8);
  const std::unique_ptr<FrameReader> source = open_frames(options.source, frames);
  std::optional<SourceFrame> frame;
  for (std::int64_t s = 0; s < segments; ++s) {
    while (!frame || frame->number < wanted[static_cast<std::size_t>(s)]) {
      frame = source->next();
      check<IoError>(frame.has_value(), options.source, ": the second time it was read it had fewer frames");
    }
    std::memcpy(clip.data<std::uint8_t>() + s * frame->pixels.count(), frame->pixels.memory(), frame->pixels.bytes());
  }
  const auto start = Clock::now();
  const Array logits = about(options.model, [&] { return recognize_clip(network, clip, options.threads); });
  const double seconds = seconds_since(start);

  const std::span<const float> values = logits.values<float>();
  const auto best = std::ranges::max_element(values);
  double sum = 0;
  for (const float value : values) sum += std::exp(static_cast<double>(value) - static_cast<double>(*best));
  const std::string label = class_name(network.model(), best - values.begin());
  JsonLines json(options.json);
  json.write_clip(wanted, label, 1 / sum, seconds);
  json.close();
  if (options.json != "-")
    std::printf("%s  %.2f  (%lld of %lld frames, %.1f ms)\n", label.c_str(), 1 / sum, static_cast<long long>(segments),
                static_cast<long long>(count), seconds * 1e3);
  return 0;
}

}  // namespace

StreamOptions parse_skip(const std::string& skip) {
  StreamOptions options;
  if (skip == "off") return options;
  if (skip == "exact" || skip == "auto") {
    options.skip = skip == "exact" ? Skip::kExact : Skip::kAuto;
    return options;
  }
  const auto [end, error] = number_from_chars(skip.data(), skip.data() + skip.size(), options.threshold);
  check(error == std::errc() && end == skip.data() + skip.size() && std::isfinite(options.threshold) &&
            options.threshold >= 0,
        "expected off, exact, auto or a threshold of at least 0, found ", skip);
  options.skip = Skip::kThreshold;
  return options;
}

VideoNetwork load_video_network(const std::filesystem::path& path, const std::string& device,
                                const std::string& dtype) {
  const Model model = Model::load(path);
  const InputKind taken = about(path, [&] { return model.graph().input().kind; });
  check<IoError>(taken == InputKind::kFrames, path.string(), ": expected a model of video, found ", model.arch(),
                 ", which labels points (`voxshift segment`)");
  return about(path,
               [&] { return VideoNetwork(model, parse_device(device), parse_network_dtype("recognize", dtype)); });
}

FrameSourceOptions source_options(const VideoNetwork& network) {
  const FrameProfile profile = network.model().profile().frames.value_or(FrameProfile{});
  return {{profile.height, profile.width}, profile.resize, false};
}

int recognize(const RecognizeOptions& given) {
  RecognizeOptions options = given;
  options.model = model_or_pretrained(given.model, "tsm-mobilenetv2-motions", given.dtype);
  const VideoNetwork network = load_video_network(options.model, options.device, options.dtype);
  return network.bidirectional() ? recognize_whole(options, network) : recognize_stream(options, network);
}

}  // namespace voxshift
