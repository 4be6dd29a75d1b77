// `voxshift detect`: boxes for many scans.
#include <voxshift/engine/network_dtype.h>
#include <voxshift/files/kitti.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "box_files.h"
#include "commands.h"
#include "detect_report.h"
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
struct DetectJob {
  fs::path path;
  PointCloud scan;
  std::vector<FoundBox> boxes;
  DetectStats stats;
};

fs::path box_file(const DetectOptions& options, const fs::path& scan, const std::string& kind) {
  return options.out / (scan.stem().string() + (kind == "kitti" ? ".txt" : "." + kind));
}

/// Kinds of which each scan gets a file of its own.
std::vector<std::string> kinds_of_boxes(const DetectOptions& options) {
  std::vector<std::string> kinds = options.write;
  std::erase_if(kinds, SharedFiles::has);
  return kinds;
}

KittiCalibration calibration_of(const DetectOptions& options, const fs::path& scan) {
  if (options.calibration.empty()) return KittiCalibration::nominal();
  std::error_code ignored;
  const bool is_folder = fs::is_directory(options.calibration, ignored);
  return read_kitti_calibration(is_folder ? options.calibration / (scan.stem().string() + ".txt")
                                          : options.calibration);
}

DetectJob read_scan_of(const fs::path& path, const DetectOptions& options) {
  const auto start = Clock::now();
  DetectJob job{path, read_scan(path, options), {}, {}};
  job.stats.scan = path;
  job.stats.read_start = start;
  job.stats.read_seconds = seconds_since(start);
  return job;
}

void find_boxes(Detector& detector, const DetectOptions& options, DetectJob& job) {
  const auto start = Clock::now();
  const Detections found = about(job.path, [&] {
    const Detections there = detector.detect(points_of(job.scan), prepare_options(options, job.scan));
    return Detections{there.boxes.to(Device::cpu()), there.scores.to(Device::cpu()), there.classes.to(Device::cpu())};
  });
  const std::int64_t columns = found.boxes.dim(1);
  job.stats.boxes.assign(detector.model().classes().size(), 0);
  for (std::int64_t i = 0; i < found.scores.count(); ++i) {
    const float* b = found.boxes.data<float>() + i * columns;
    Box3d box{b[0], b[1], b[2], b[3], b[4], b[5], b[6]};
    if (columns == 9) box.vx = b[7], box.vy = b[8];
    const std::int32_t id = found.classes.data<std::int32_t>()[i];
    job.boxes.push_back({box, found.scores.data<float>()[i], id});
    ++job.stats.boxes[static_cast<std::size_t>(id)];
  }
  job.stats.run = detector.report();
  job.stats.compute_start = start;
  job.stats.compute_seconds = seconds_since(start);
}

void write_boxes(const DetectOptions& options, const Model& model, bool with_velocity, SharedFiles& shared,
                 DetectJob& job) {
  const auto start = Clock::now();
  const DetectedScan detected{job.scan, job.boxes, model.classes(), job.path.filename().string()};
  if (shared.wanted()) shared.add(detected.title, job.scan, labels_of(detected), job.boxes);
  for (const std::string& kind : kinds_of_boxes(options)) {
    const fs::path path = box_file(options, job.path, kind);
    about(path, [&] {
      if (kind == "json") write_boxes_json(path, detected, with_velocity);
      if (kind == "kitti") write_boxes_kitti(path, detected, calibration_of(options, job.path));
      if (kind == "ply") write_boxes_ply(path, detected);
      if (kind == "png") write_bytes(path, draw_detections(detected));
    });
    job.stats.files.push_back(path);
  }
  job.stats.write_start = start;
  job.stats.write_seconds = seconds_since(start);
}

void trace_detected(Trace& trace, const DetectStats& stats) {
  const std::string name = stats.scan.filename().string();
  const DetectReport& run = stats.run;
  trace.stage(TraceRow::kRead, name, {stats.read_start, stats.read_seconds});
  trace.compute(name, {stats.compute_start, stats.compute_seconds},
                {{"voxelize", run.voxelize_seconds},
                 {"maps", run.maps_seconds},
                 {"network", run.network_seconds},
                 {"boxes", run.boxes_seconds}},
                run, {{"points", run.points}, {"dropped_points", run.dropped_points}});
  trace.stage(TraceRow::kWrite, name, {stats.write_start, stats.write_seconds});
}

Model load_detector(const DetectOptions& options) {
  Model model = load_point_model(options.model);
  check<IoError>(model.detection().has_value(), options.model.string(), ": expected a model that finds boxes, found ",
                 model.arch(), ", which labels points (`voxshift segment`)");
  if (!options.score_threshold) return model;
  DetectionHead head = *model.detection();
  head.selection.score_threshold = *options.score_threshold;
  return model.with_detection(std::move(head));
}

}  // namespace

int detect(const DetectOptions& given) {
  DetectOptions options = given;
  if (options.write.empty()) options.write = {"json", "png"};
  const bool kitti = std::ranges::count(options.write, "kitti") > 0;
  check(kitti || options.calibration.empty(), "[detect] --calib belongs to --write kitti");
  const std::vector<fs::path> scans = list_scans(options.scans);
  const Device device = parse_device(options.device);
  options.model = model_or_pretrained(options.model, "centerpoint-lidar", options.dtype);
  const Model model = load_detector(options);
  check_results(scans, [&](const fs::path& scan) {
    std::vector<fs::path> results;
    for (const std::string& kind : kinds_of_boxes(options)) results.push_back(box_file(options, scan, kind));
    return results;
  });
  const std::optional<DType> dtype = parse_network_dtype("detect", options.dtype);
  Detector detector = about(options.model, [&] { return Detector(model, device, options.threads, dtype); });
  Trace trace(options.trace, "detect");
  trace_session(trace, detector.session());
  if (options.layers || !options.stats.empty() || trace.wanted()) detector.session().report_layers(true);
  make_folder(options.out);
  const double peak = options.layers ? runtime(device).fma_peak(device, detector.session().threads()) : 0;

  SharedFiles shared(options.write, options.out, "", scans, model.classes());
  std::vector<DetectStats> done;
  std::set<std::string> warned;  // once what holds for all scans of a folder
  if (kitti && options.calibration.empty())
    print_warning("no --calib: label files are for a camera in the scanner's place that looks ahead");
  ScanSteps<DetectJob> steps;
  steps.read = [&](const fs::path& scan) { return read_scan_of(scan, options); };
  steps.compute = [&](DetectJob& job) { find_boxes(detector, options, job); };
  steps.write = [&, velocity = detector.has_velocity()](DetectJob& job) {
    write_boxes(options, model, velocity, shared, job);
  };
  steps.report = [&](const DetectJob& job) {
    std::vector<std::string> notes = job.scan.notes;
    std::ranges::copy(job.stats.run.notes, std::back_inserter(notes));
    for (const std::string& note : notes)
      if (warned.insert(note).second) print_warning(job.path.string() + ": " + note);
    if (done.empty()) print_detect_header();
    print_detected(job.stats);
    if (options.layers) print_layers(job.stats.run, peak);
    trace_detected(trace, job.stats);
    done.push_back(job.stats);
  };
  const bool all_good = run_scans(scans, steps);
  shared.save();
  trace.write();
  if (!options.stats.empty()) write_detect_stats(options.stats, done, detector);
  return all_good ? 0 : 1;
}

}  // namespace voxshift
