// `voxshift eval --detections`: boxes against true ones, as tables or as JSON.
#include <voxshift/files/kitti.h>
#include <voxshift/files/read_points.h>
#include <voxshift/tasks/detection_score.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "label_files.h"
#include "report.h"
#include "scan_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Comparison {
  std::string protocol;
  std::vector<ScoredScan> scans;
  std::size_t truths = 0, detections = 0;
};

/// One calibration for all files, or one of the file's name in a folder.
KittiCalibration calibration_of(const fs::path& calibrations, const fs::path& labels) {
  if (calibrations.empty()) return KittiCalibration::nominal();
  std::error_code error;
  if (!fs::is_directory(calibrations, error)) return read_kitti_calibration(calibrations);
  return read_kitti_calibration(calibrations / labels.stem().concat(".txt"));
}

std::map<fs::path, fs::path> scans_by_stem(const fs::path& folder) {
  std::map<fs::path, fs::path> scans;
  if (folder.empty()) return scans;
  for (const fs::path& scan : list_scans(std::vector{folder})) scans[scan.stem()] = scan;
  return scans;
}

Array points_of(const fs::path& scan) {
  const PointCloud cloud = read_points(scan);
  return Array::from(cloud.points, {cloud.count(), cloud.columns});
}

std::vector<LabelledBox> read_detections(const fs::path& path, const KittiCalibration& calibration) {
  std::vector<LabelledBox> detections = read_kitti_labels(path, calibration);
  const auto bad = std::ranges::find_if(detections, [](const LabelledBox& box) { return std::isnan(box.score); });
  check<IoError>(bad == detections.end(), path.string(), ": object ", bad - detections.begin() + 1,
                 " has no score, expected 16 columns");
  return detections;
}

Comparison read_all(const EvalOptions& options) {
  Comparison read{.protocol = options.protocol.empty() ? "kitti" : options.protocol, .scans = {}};
  check(read.protocol == "kitti" || read.protocol == "nuscenes",
        "[eval] --protocol expects one of kitti, nuscenes with --detections, found \"", read.protocol, "\"");
  const std::vector<LabelPair> pairs = pair_boxes(options.detections.at(0), options.detections.at(1));
  const std::map<fs::path, fs::path> scans = scans_by_stem(options.scans);
  Progress progress(pairs.size());
  for (const LabelPair& pair : pairs) {
    progress.show(read.scans.size(), pair.truth.filename().string());
    const KittiCalibration calibration = calibration_of(options.calibration, pair.truth);
    ScoredScan scan{read_detections(pair.prediction, calibration), read_kitti_labels(pair.truth, calibration)};
    if (!options.scans.empty()) {
      const auto found = scans.find(pair.truth.stem());
      check<IoError>(found != scans.end(), options.scans.string(), ": has no scan of the name of ",
                     pair.truth.string());
      scan.points = points_in_boxes(points_of(found->second), scan.truths);
    }
    read.truths += scan.truths.size();
    read.detections += scan.predictions.size();
    read.scans.push_back(std::move(scan));
  }
  return read;
}

/// "12.34" with so many decimals, or "-" for what nobody knows.
std::string shown(double value, int decimals = 2) {
  if (std::isnan(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

template <class Values, class Show>
void print_levels(const std::string& name, const char* what, const Values& values, const Show& show) {
  std::printf("%-20s %-8s", name.c_str(), what);
  for (const auto value : values) std::printf(" %9s", show(value).c_str());
  std::printf("\n");
}

void print_score(const KittiScore& score) {
  std::printf("%-29s", "AP_R40 %");
  for (const DetectionLevel& level : kDetectionLevels) std::printf(" %9s", level.name);
  std::printf("\n");
  const auto percent = [](double ap) { return shown(100 * ap); };
  for (const KittiClassScore& one : score.classes) {
    print_levels(one.name + "@" + shown(one.overlap), "bev", one.bev, percent);
    print_levels("", "3d", one.volume, percent);
    print_levels("", "truths", one.truths, [](std::int64_t count) { return std::to_string(count); });
  }
}

void print_errors(const DetectionErrors& errors) {
  for (const double error : {errors.translation, errors.scale, errors.orientation, errors.velocity})
    std::printf(" %8s", shown(error, 3).c_str());
}

void print_score(const NuScenesScore& score) {
  std::printf("%-20s %8s %8s %8s %8s %8s %8s %8s %8s %8s %7s\n", "class", "AP %", "0.5 m", "1 m", "2 m", "4 m", "ATE m",
              "ASE", "AOE rad", "AVE m/s", "truths");
  for (const NuScenesClassScore& one : score.classes) {
    std::printf("%-20s %8s", one.name.c_str(), shown(100 * one.mean_ap()).c_str());
    for (const double ap : one.ap) std::printf(" %8s", shown(100 * ap).c_str());
    print_errors(one.errors);
    std::printf(" %7lld\n", static_cast<long long>(one.truths));
  }
  std::printf("%-20s %8s %8s %8s %8s %8s", "mean", shown(100 * score.mean_ap).c_str(), "", "", "", "");
  print_errors(score.errors);
  std::printf("\n\nmAP %8s %%\nNDS %8s %% (without attributes)\n", shown(100 * score.mean_ap).c_str(),
              shown(100 * score.nds).c_str());
}

template <class Values>
Json by_level(const Values& values) {
  Json result;
  for (std::size_t level = 0; level < kDetectionLevels.size(); ++level)
    result[kDetectionLevels[level].name] = values[level];
  return result;
}

Json json_of(const DetectionErrors& errors) {
  return {{"translation", errors.translation},
          {"scale", errors.scale},
          {"orientation", errors.orientation},
          {"velocity", errors.velocity}};
}

void add_json(const KittiScore& score, Json& document) {
  for (const KittiClassScore& one : score.classes)
    document["classes"].push_back({{"name", one.name},
                                   {"overlap", one.overlap},
                                   {"truths", by_level(one.truths)},
                                   {"bev", by_level(one.bev)},
                                   {"3d", by_level(one.volume)}});
}

void add_json(const NuScenesScore& score, Json& document) {
  document["mean_ap"] = score.mean_ap;
  document["nds"] = score.nds;
  document["errors"] = json_of(score.errors);
  for (const NuScenesClassScore& one : score.classes)
    document["classes"].push_back({{"name", one.name},
                                   {"truths", one.truths},
                                   {"match_distances", kMatchDistances},
                                   {"ap", one.ap},
                                   {"mean_ap", one.mean_ap()},
                                   {"errors", json_of(one.errors)}});
}

template <class Score>
void show(const Comparison& read, const Score& score, const EvalOptions& options) {
  check<IoError>(!score.classes.empty(), options.detections[1].string(), ": holds no object that ", read.protocol,
                 " scores, of ", read.truths);
  if (options.json) {
    Json document{{"protocol", read.protocol},
                  {"files", read.scans.size()},
                  {"truths", read.truths},
                  {"detections", read.detections}};
    add_json(score, document);
    std::printf("%s\n", document.dump().c_str());
  } else {
    std::printf("%s: %zu files, %zu true objects, %zu detections\n\n", read.protocol.c_str(), read.scans.size(),
                read.truths, read.detections);
    print_score(score);
  }
  std::fflush(stdout);
}

}  // namespace

int evaluate_detections(const EvalOptions& options) {
  const Comparison read = read_all(options);
  if (read.protocol == "kitti") {
    show(read, score_kitti(read.scans, options.max_distance), options);
  } else {
    show(read, score_nuscenes(read.scans, false, options.max_distance), options);
  }
  return 0;
}

}  // namespace voxshift
