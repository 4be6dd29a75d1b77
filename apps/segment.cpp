// `voxshift segment`: labels for many scans.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/seconds.h>
#include <voxshift/tensor/thread_pool.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "commands.h"
#include "heap.h"
#include "label_record.h"
#include "label_scan.h"
#include "picture.h"
#include "pretrained.h"
#include "report.h"
#include "result_files.h"
#include "scan_files.h"
#include "scan_pipeline.h"
#include "shared_files.h"
#include "trace.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

// A scan on its way from file to file.
struct Job {
  fs::path path;
  std::uintmax_t bytes;  // of the file, before it was read
  PointCloud scan;
  Segmentation result;
  ScanStats stats;
};

const std::map<std::string, std::string>& extensions() {
  static const std::map<std::string, std::string> table{
      {"label", ".label"}, {"ply", ".ply"}, {"png", ".png"}, {"scores", ".scores.npy"}};
  return table;
}

fs::path result_path(const SegmentOptions& options, const fs::path& scan, const std::string& kind) {
  return options.out / (scan.stem().string() + extensions().at(kind));
}

fs::path record_path(const SegmentOptions& options, const fs::path& scan) {
  return result_path(options, scan, "label") += ".json";
}

/// Kinds of which each scan gets a file of its own.
std::vector<std::string> kinds_of_scans(const SegmentOptions& options) {
  std::vector<std::string> kinds = options.write;
  std::erase_if(kinds, SharedFiles::has);
  return kinds;
}

std::vector<fs::path> results_of(const SegmentOptions& options, const fs::path& scan) {
  std::vector<fs::path> results;
  for (const std::string& kind : kinds_of_scans(options)) results.push_back(result_path(options, scan, kind));
  return results;
}

Job read_job(const fs::path& path, const ScanOptions& options, bool with_colours) {
  const auto start = Clock::now();
  std::error_code ignored;
  const std::uintmax_t bytes = fs::file_size(path, ignored);
  Job job{path, bytes, read_scan(path, options, with_colours), {}, {}};
  job.stats.read_start = start;
  job.stats.read_seconds = seconds_since(start);
  return job;
}

/// --range: a box around the sensor, or the one that two corners span.
Range range_of(const std::vector<float>& values) {
  check(values.size() == 1 || values.size() == 6, "[segment] --range expects a number, or six: x,y,z,x,y,z; found ",
        values.size());
  if (values.size() == 1) return {{-values[0], -values[0], -values[0]}, {values[0], values[0], values[0]}};
  return {{values[0], values[1], values[2]}, {values[3], values[4], values[5]}};
}

/// Touches the memory that a first scan on the CPU needs while the model is read, where there is a processor for it:
/// some 640 bytes of each point, of 16 in the file.
std::future<void> touch_ahead(const SegmentOptions& options, Device device, const fs::path& scan) {
  constexpr std::uintmax_t kOfEachByte = 40, kMost = std::uintmax_t{1} << 30;
  if (device.kind != Device::Kind::kCpu || options.threads == 1 || num_threads() == 1) return {};
  std::error_code ignored;
  const std::uintmax_t bytes = fs::file_size(scan, ignored);
  return touch_heap(ignored ? 0 : static_cast<std::size_t>(std::min(bytes, kMost) * kOfEachByte));
}

void compute(Segmenter& segmenter, const SegmentOptions& options, bool with_scores, Job& job) {
  const auto start = Clock::now();
  job.result = about(job.path, [&] { return label_scan(segmenter, job.scan, options, with_scores); });
  job.stats.run = segmenter.report();
  job.stats.compute_start = start;
  job.stats.compute_seconds = seconds_since(start);
}

std::vector<std::string> notes_of(const Job& job) {
  std::vector<std::string> notes = job.scan.notes;
  std::ranges::copy(job.stats.run.notes, std::back_inserter(notes));
  return notes;
}

/// Points of each class, the last for points without one.
std::vector<std::int64_t> class_counts(const ScanStats& stats, std::size_t classes) {
  const auto end = stats.label_counts.begin() + static_cast<std::ptrdiff_t>(classes);
  std::vector<std::int64_t> counts(stats.label_counts.begin(), end);
  counts.push_back(std::accumulate(end, stats.label_counts.end(), std::int64_t{0}));
  return counts;
}

/// A record that is there goes before its results are replaced: it never tells of others. maker: none writes none.
void write_results(const SegmentOptions& options, const Model& model, const std::optional<LabelMaker>& maker,
                   SharedFiles& shared, Job& job) {
  const auto start = Clock::now();
  const auto labels = std::as_const(job.result.labels).values<std::uint8_t>();
  shared.add(job.path.filename().string(), job.scan, labels);
  const fs::path record = record_path(options, job.path);
  about(record, [&] { return fs::remove(record); });
  for (const std::string& kind : kinds_of_scans(options)) {
    const fs::path path = result_path(options, job.path, kind);
    about(path, [&] {
      if (kind == "label") write_labels(path, labels, model.classes());
      if (kind == "ply") write_coloured_ply(path, job.scan, labels, model.classes());
      if (kind == "scores") write_array(path, job.result.scores);
      if (kind == "png") {
        write_bytes(path, draw_picture({job.scan, labels, model.classes(), job.path.filename().string()}));
      }
    });
    job.stats.files.push_back(path);
  }
  job.stats.scan = job.path;
  for (const std::uint8_t label : labels) ++job.stats.label_counts[label];
  if (maker)
    about(record, [&] {
      write_record(record,
                   {*maker, job.path, job.bytes, job.stats.files, class_counts(job.stats, model.classes().size())});
    });
  job.stats.write_start = start;
  job.stats.write_seconds = seconds_since(start);
}

void trace_segmented(Trace& trace, const ScanStats& stats) {
  const std::string name = stats.scan.filename().string();
  const SegmentReport& run = stats.run;
  trace.stage(TraceRow::kRead, name, {stats.read_start, stats.read_seconds});
  trace.compute(name, {stats.compute_start, stats.compute_seconds},
                {{"voxelize", run.voxelize_seconds}, {"maps", run.maps_seconds}, {"network", run.network_seconds}}, run,
                {{"points", run.points}, {"dropped_points", run.dropped_points}, {"voxels", run.voxels}});
  trace.stage(TraceRow::kWrite, name, {stats.write_start, stats.write_seconds});
}

/// What is in the names of the files that the scans of a shard share.
std::string part_of(const SegmentOptions& options) {
  if (options.shards == 1) return "";
  return "-" + std::to_string(options.shard) + "-of-" + std::to_string(options.shards);
}

/// Every n-th scan, so that all shards have as many, from all over the list.
std::vector<fs::path> scans_of_shard(const std::vector<fs::path>& scans, const SegmentOptions& options) {
  std::vector<fs::path> part;
  const auto step = static_cast<std::size_t>(options.shards);
  for (std::size_t i = static_cast<std::size_t>(options.shard) - 1; i < scans.size(); i += step)
    part.push_back(scans[i]);
  return part;
}

/// Takes out of `scans` those that are labelled already, and says how many they were.
void leave_out_done(std::vector<fs::path>& scans, const SegmentOptions& options, const LabelMaker& maker) {
  const std::size_t left_out = std::erase_if(scans, [&](const fs::path& scan) {
    return is_done(record_path(options, scan), maker, scan, results_of(options, scan));
  });
  std::printf("%zu scans are labelled already, %zu are not\n", left_out, scans.size());
  std::fflush(stdout);
}

}  // namespace

int segment(const SegmentOptions& given) {
  SegmentOptions options = given;
  if (options.write.empty()) options.write = {"label", "ply", "png"};
  check(!options.skip_done || std::ranges::none_of(options.write, SharedFiles::has),
        "[segment] --write html and rrd show all scans, of which --skip-done leaves some out; expected one of the two");
  const std::vector<fs::path> all = list_scans(options.scans);
  check_results(all, [&](const fs::path& scan) { return results_of(options, scan); });
  std::vector<fs::path> scans = scans_of_shard(all, options);
  if (scans.empty()) return 0;
  const Device device = parse_device(options.device);
  const std::future<void> touching = touch_ahead(options, device, scans.front());
  options.model = model_or_pretrained(options.model, "minkunet-lidar", options.dtype);
  Model model = load_point_model(options.model);
  if (!options.preprocess.empty() || !options.range.empty()) {
    check<IoError>(model.has_profile() || !options.preprocess.empty(), options.model.string(),
                   ": is a model without a profile, whose range could change; give --preprocess");
    Profile profile = options.preprocess.empty() ? model.profile() : find_profile(options.preprocess);
    if (!options.range.empty()) profile.voxelize.range = range_of(options.range);
    model = about(options.model, [&] { return model.with_profile(profile); });
  }
  const bool with_colours = takes_colours(model);
  const bool with_scores = std::count(options.write.begin(), options.write.end(), "scores") > 0;
  const std::optional<DType> dtype = parse_network_dtype("segment", options.dtype);
  Segmenter segmenter = about(options.model, [&] { return Segmenter(model, device, options.threads, dtype); });
  Trace trace(options.trace, "segment");
  trace_session(trace, segmenter.session());
  if (options.layers || !options.stats.empty() || trace.wanted()) segmenter.session().report_layers(true);
  make_folder(options.out);
  std::optional<LabelMaker> maker;
  if (options.skip_done) {
    maker = maker_of(options, segmenter.session().dtype());
    leave_out_done(scans, options, *maker);
  }
  const double peak = options.layers ? runtime(device).fma_peak(device, segmenter.session().threads()) : 0;

  SharedFiles shared(options.write, options.out, part_of(options), scans, model.classes());
  std::vector<ScanStats> done;
  std::set<std::string> warned;  // once what holds for all scans of a folder
  ScanSteps<Job> steps;
  steps.read = [&](const fs::path& scan) { return read_job(scan, options, with_colours); };
  steps.compute = [&](Job& job) { compute(segmenter, options, with_scores, job); };
  steps.write = [&](Job& job) { write_results(options, model, maker, shared, job); };
  steps.report = [&](const Job& job) {
    for (const std::string& note : notes_of(job))
      if (warned.insert(note).second) print_warning(job.path.string() + ": " + note);
    if (done.empty()) print_header();
    print_scan(job.stats);
    if (options.layers) print_layers(job.stats.run, peak);
    trace_segmented(trace, job.stats);
    done.push_back(job.stats);
  };
  const bool all_good = run_scans(scans, steps);
  shared.save();
  trace.write();
  if (!options.stats.empty()) write_stats(options.stats, done, segmenter);
  return all_good ? 0 : 1;
}

}  // namespace voxshift
