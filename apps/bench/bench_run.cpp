#include "bench_run.h"

#include <voxshift/files/number_text.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "builtin_models.h"
#include "peak_memory.h"

namespace voxshift::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLeastRuns = 5;
constexpr std::size_t kMostRuns = 1000000;

void must(voxshift_status status) {
  if (status != VOXSHIFT_OK) throw Error(voxshift_last_error());
}

struct Close {
  void operator()(voxshift_stream stream) const { voxshift_stream_close(stream); }
  void operator()(voxshift_session session) const { voxshift_session_close(session); }
};
using Stream = std::unique_ptr<voxshift_stream_handle, Close>;
using Session = std::unique_ptr<voxshift_session_handle, Close>;

Stream open_stream(const BenchModel& model, const voxshift_stream_options& options) {
  voxshift_stream stream = nullptr;
  must(voxshift_stream_open(model.handle(), &options, &stream));
  return Stream(stream);
}

/// Calls `run` with its number until there is enough of it, and keeps how long each took.
std::vector<double> times_of(const BenchOptions& options, std::int64_t warmup,
                             const std::function<void(std::int64_t)>& run, const std::function<void()>& measured) {
  if (options.warmup >= 0) warmup = options.warmup;
  std::int64_t number = 0;
  for (; number < warmup; ++number) run(number);
  std::vector<double> seconds;
  const Clock::time_point start = Clock::now();
  const auto enough = [&] {
    if (options.loops > 0) return seconds.size() >= static_cast<std::size_t>(options.loops);
    const double passed = std::chrono::duration<double>(Clock::now() - start).count();
    return seconds.size() >= kMostRuns || (seconds.size() >= kLeastRuns && passed >= options.seconds);
  };
  for (; !enough(); ++number) {
    const Clock::time_point begin = Clock::now();
    run(number);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    measured();
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

void measure_stream(const BenchModel& model, const BenchInput& input, const BenchCase& how, const BenchOptions& options,
                    BenchLine& line) {
  voxshift_stream_options wanted = skip_named(how.skip);
  wanted.threads = how.threads;
  wanted.dtype = dtype_named(how.dtype);
  const Stream stream = open_stream(model, wanted);
  voxshift_result result = VOXSHIFT_RESULT_INIT;
  constexpr std::int64_t kWarmup = 16;  // the shift and the frame-skip know frames before the last one
  line.seconds = times_of(
      options, kWarmup,
      [&](std::int64_t number) {
        const voxshift_frame frame = input.frame(number);
        must(voxshift_stream_push(stream.get(), &frame, &result));
      },
      [&] {
        line.macs += result.macs;
        line.dense_macs += result.dense_macs;
      });
}

void measure_session(const BenchModel& model, const BenchInput& input, const BenchCase& how,
                     const BenchOptions& options, BenchLine& line) {
  voxshift_session_options wanted = VOXSHIFT_SESSION_OPTIONS_INIT;
  wanted.threads = how.threads;
  wanted.dtype = dtype_named(how.dtype);
  voxshift_session opened = nullptr;
  must(voxshift_session_open(model.handle(), &wanted, &opened));
  const Session session(opened);
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(input.count));
  voxshift_boxes boxes = VOXSHIFT_BOXES_INIT;
  const float* const points = input.points.data();
  const auto run = [&](std::int64_t) {
    must(model.info().task == VOXSHIFT_TASK_DETECT
             ? voxshift_session_detect(session.get(), points, input.count, 4, &boxes)
             : voxshift_session_segment(session.get(), points, input.count, 4, labels.data(), nullptr));
  };
  constexpr std::int64_t kWarmup = 2;
  line.seconds = times_of(options, kWarmup, run, [&] {
    voxshift_report report = VOXSHIFT_REPORT_INIT;
    must(voxshift_session_get_report(session.get(), &report));
    line.macs += report.macs;
  });
}

std::string dtype_of(const BenchModel& model, const std::string& wanted) {
  if (wanted != "auto") return wanted;
  return model.info().quantized != 0 ? "i8" : "f32";
}

}  // namespace

voxshift_dtype dtype_named(const std::string& name) {
  static constexpr std::pair<const char*, voxshift_dtype> kNames[] = {{"auto", VOXSHIFT_AUTO},
                                                                      {"f32", VOXSHIFT_F32},
                                                                      {"f16", VOXSHIFT_F16},
                                                                      {"bf16", VOXSHIFT_BF16},
                                                                      {"i8", VOXSHIFT_I8}};
  for (const auto& [known, dtype] : kNames)
    if (name == known) return dtype;
  throw InvalidArgument("expected auto, f32, f16, bf16 or i8, found " + name);
}

voxshift_stream_options skip_named(const std::string& name) {
  static constexpr std::pair<const char*, voxshift_skip> kNames[] = {
      {"off", VOXSHIFT_SKIP_OFF}, {"exact", VOXSHIFT_SKIP_EXACT}, {"auto", VOXSHIFT_SKIP_AUTO}};
  voxshift_stream_options options = VOXSHIFT_STREAM_OPTIONS_INIT;
  for (const auto& [known, skip] : kNames) {
    options.skip = skip;
    if (name == known) return options;
  }
  options.skip = VOXSHIFT_SKIP_THRESHOLD;
  const char* const last = name.data() + name.size();
  const auto [end, error] = number_from_chars(name.data(), last, options.threshold);
  check(error == std::errc() && end == last && std::isfinite(options.threshold) && options.threshold >= 0,
        "expected off, exact, auto or a threshold of at least 0, found ", name);
  return options;
}

BenchModel::BenchModel(const std::string& source) : name_(std::filesystem::path(source).stem().string()) {
  const auto models = builtin_models();
  const auto* const builtin = std::find_if(models.data(), models.data() + models.size(),
                                           [&](const BuiltinModel& model) { return model.name == source; });
  if (builtin != models.data() + models.size())
    must(voxshift_model_load_memory(builtin->bytes.data(), builtin->bytes.size(), &handle_));
  else
    must(voxshift_model_load(source.c_str(), &handle_));
  must(voxshift_model_get_info(handle_, &info_));
  check(info_.task != VOXSHIFT_TASK_OTHER, source,
        ": expected a model that labels points, finds boxes or recognises frames, found the network ",
        info_.architecture);
}

BenchModel::~BenchModel() { voxshift_model_close(handle_); }

bool BenchModel::is_calibrated() const {
  voxshift_stream_options options = skip_named("auto");
  options.threads = 1;
  voxshift_stream stream = nullptr;
  if (voxshift_stream_open(handle_, &options, &stream) != VOXSHIFT_OK) return false;
  voxshift_stream_close(stream);
  return true;
}

double BenchLine::quantile(double fraction) const {
  const double rank = std::ceil(fraction * static_cast<double>(seconds.size()));
  return seconds[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

double BenchLine::mean() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
}

double BenchLine::computed() const {
  return dense_macs > 0 ? static_cast<double>(macs) / static_cast<double>(dense_macs) : 1;
}

BenchLine measure(const BenchModel& model, const BenchInput& input, const BenchCase& how, const BenchOptions& options) {
  BenchLine line;
  line.model = model.name();
  line.dtype = dtype_of(model, how.dtype);
  line.input = input.name;
  line.skip = input.is_scan() ? "-" : how.skip;
  line.threads = how.threads;
  reset_peak();
  if (input.is_scan())
    measure_session(model, input, how, options, line);
  else
    measure_stream(model, input, how, options, line);
  const auto runs = static_cast<std::int64_t>(line.seconds.size());
  line.macs /= runs;
  line.dense_macs /= runs;
  line.peak_bytes = peak_bytes();
  return line;
}

}  // namespace voxshift::bench
