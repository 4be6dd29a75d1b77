#include <voxshift/tasks/detection_score.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <utility>

#include "detection_inputs.h"

namespace voxshift {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = std::numbers::pi;

struct NuScenesClass {
  const char* name;
  double range;            ///< metres
  const char* alias = "";  ///< KITTI's word
  double turn = 2 * kPi;   ///< after which the object looks the same; 0: it has no heading
  bool moves = true;
};

constexpr NuScenesClass kNuScenesClasses[] = {{"car", 50, "van"},
                                              {"truck", 50},
                                              {"bus", 50},
                                              {"trailer", 50},
                                              {"construction_vehicle", 50},
                                              {"pedestrian", 40},
                                              {"motorcycle", 40},
                                              {"bicycle", 40, "cyclist"},
                                              {"traffic_cone", 30, "", 0, false},
                                              {"barrier", 30, "", kPi, false}};

constexpr std::size_t kRecalls = 101, kFirstRecall = 11;  // 0, 1 .. 100 %, of which those above 10 % count
constexpr double kLeastPrecision = 0.1;
constexpr std::size_t kErrorDistance = 2;  // the place of 2 m in kMatchDistances

struct Detection {
  const Box3d* box;
  double score;
  std::size_t scan;
};

/// What is of a class and in its range.
struct ClassBoxes {
  std::vector<Detection> detections;              ///< in the order of matching
  std::vector<std::vector<const Box3d*>> truths;  ///< of every scan
  std::int64_t truth_count = 0;
};

/// Detections in the order of matching: whom each matched, null for a false alarm.
using Matches = std::vector<const Box3d*>;
using Curve = std::vector<double>;

bool is_of(const NuScenesClass& known, std::string_view type) {
  return same_type(type, known.name) || (*known.alias != '\0' && same_type(type, known.alias));
}

ClassBoxes boxes_of(const NuScenesClass& known, std::span<const ScoredScan> scans, double max_distance) {
  const double range = std::min(known.range, max_distance);
  const auto is_wanted = [&](const LabelledBox& object) {
    return is_of(known, object.type) && distance_of(object.box) < range;
  };
  ClassBoxes found;
  for (std::size_t i = 0; i < scans.size(); ++i) {
    const ScoredScan& scan = scans[i];
    for (const LabelledBox& prediction : scan.predictions)
      if (is_wanted(prediction)) found.detections.push_back({&prediction.box, prediction.score, i});
    auto& truths = found.truths.emplace_back();
    for (std::size_t t = 0; t < scan.truths.size(); ++t)
      if (is_wanted(scan.truths[t]) && (scan.points.empty() || scan.points[t] != 0))
        truths.push_back(&scan.truths[t].box);
    found.truth_count += static_cast<std::int64_t>(truths.size());
  }
  std::ranges::reverse(found.detections);  // so that of equal scores the last comes first
  std::ranges::stable_sort(found.detections, std::greater<>(), &Detection::score);
  return found;
}

double distance_between(const Box3d& a, const Box3d& b) {
  return std::hypot(static_cast<double>(a.x) - b.x, static_cast<double>(a.y) - b.y);
}

Matches match_nearest(const ClassBoxes& boxes, double limit) {
  std::vector<std::vector<const Box3d*>> left = boxes.truths;
  Matches matches;
  for (const Detection& detection : boxes.detections) {
    double nearest = limit;
    const Box3d** match = nullptr;
    for (const Box3d*& truth : left[detection.scan]) {
      if (truth == nullptr || !(distance_between(*truth, *detection.box) < nearest)) continue;
      nearest = distance_between(*truth, *detection.box);
      match = &truth;
    }
    matches.push_back(match == nullptr ? nullptr : std::exchange(*match, nullptr));
  }
  return matches;
}

/// The value at `at` of the line through (x, y), x rising; where x repeats its last place counts.
double interpolated(double at, std::span<const double> x, std::span<const double> y, double beyond) {
  if (at > x.back()) return beyond;
  const auto after = static_cast<std::size_t>(std::ranges::upper_bound(x, at) - x.begin());
  if (after == 0) return y.front();
  const std::size_t before = after - 1;
  if (after == x.size() || x[before] == at) return y[before];
  return y[before] + (y[after] - y[before]) / (x[after] - x[before]) * (at - x[before]);
}

/// Values of the detections so far, at recalls of 0, 1 .. 100 %; 0 beyond the highest recall.
Curve at_recalls(std::span<const double> recall, std::span<const double> values) {
  Curve curve;
  for (std::size_t i = 0; i < kRecalls; ++i)
    curve.push_back(interpolated(i + 1 == kRecalls ? 1 : static_cast<double>(i) * 0.01, recall, values, 0));
  return curve;
}

Curve recalls_of(const Matches& matches, std::int64_t truths) {
  Curve recall;
  double hits = 0;
  for (const Box3d* match : matches) recall.push_back((hits += match != nullptr) / static_cast<double>(truths));
  return recall;
}

double area_of(const Matches& matches, std::int64_t truths) {
  if (std::ranges::all_of(matches, [](const Box3d* match) { return match == nullptr; })) return 0;
  Curve precision;
  double hits = 0;
  for (const Box3d* match : matches)
    precision.push_back((hits += match != nullptr) / static_cast<double>(precision.size() + 1));
  double sum = 0;
  const Curve curve = at_recalls(recalls_of(matches, truths), precision);
  for (std::size_t i = kFirstRecall; i < kRecalls; ++i) sum += std::max(0.0, curve[i] - kLeastPrecision);
  return sum / static_cast<double>(kRecalls - kFirstRecall) / (1 - kLeastPrecision);
}

double scale_error(const Box3d& a, const Box3d& b) {
  const auto volume = [](double length, double width, double height) { return length * width * height; };
  const double common = volume(std::min(a.length, b.length), std::min(a.width, b.width), std::min(a.height, b.height));
  const double all = volume(a.length, a.width, a.height) + volume(b.length, b.width, b.height) - common;
  return all > 0 ? 1 - common / all : 1;
}

/// An error's mean over the recalls, from means over the matches up to each score. NaN errors are left out of these;
/// all NaN, or a recall below 11 %, is an error of 1.
template <class Error>
double mean_error(const ClassBoxes& boxes, const Matches& matches, const Error& error) {
  Curve scores, means;
  double sum = 0, known = 0;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    if (matches[i] == nullptr) continue;
    const double value = error(*matches[i], *boxes.detections[i].box);
    if (!std::isnan(value)) sum += value, ++known;
    scores.push_back(boxes.detections[i].score);
    means.push_back(known > 0 ? sum / known : 0);
  }
  if (known == 0) return 1;
  std::ranges::reverse(scores);
  std::ranges::reverse(means);
  Curve all_scores;
  for (const Detection& detection : boxes.detections) all_scores.push_back(detection.score);
  Curve at = at_recalls(recalls_of(matches, boxes.truth_count), all_scores);
  while (!at.empty() && at.back() == 0) at.pop_back();  // beyond the highest recall
  if (at.size() <= kFirstRecall) return 1;
  double total = 0;
  for (std::size_t i = kFirstRecall; i < at.size(); ++i) total += interpolated(at[i], scores, means, means.back());
  return total / static_cast<double>(at.size() - kFirstRecall);
}

DetectionErrors errors_of(const NuScenesClass& known, const ClassBoxes& boxes, const Matches& matches,
                          bool has_velocities) {
  const auto mean = [&](const auto& error) { return mean_error(boxes, matches, error); };
  DetectionErrors errors{mean(distance_between), mean(scale_error), kNaN, kNaN};
  if (known.turn > 0)
    errors.orientation = mean([&](const Box3d& truth, const Box3d& found) {
      return std::abs(std::remainder(static_cast<double>(truth.yaw) - found.yaw, known.turn));
    });
  if (known.moves && has_velocities)
    errors.velocity = mean([](const Box3d& truth, const Box3d& found) {
      return std::hypot(static_cast<double>(truth.vx) - found.vx, static_cast<double>(truth.vy) - found.vy);
    });
  return errors;
}

/// NaN where all are.
template <class Of>
double mean_over(const std::vector<NuScenesClassScore>& classes, const Of& of) {
  double sum = 0, known = 0;
  for (const NuScenesClassScore& score : classes)
    if (const double value = of(score); !std::isnan(value)) sum += value, ++known;
  return known > 0 ? sum / known : kNaN;
}

double nds_of(const NuScenesScore& score) {
  constexpr double kWeight = 5;  // of mAP
  double sum = kWeight * score.mean_ap, weight = kWeight;
  const DetectionErrors& errors = score.errors;
  for (const double error : {errors.translation, errors.scale, errors.orientation, errors.velocity})
    if (!std::isnan(error)) sum += std::max(0.0, 1 - error), ++weight;
  return sum / weight;
}

}  // namespace

double NuScenesClassScore::mean_ap() const {
  return std::accumulate(ap.begin(), ap.end(), 0.0) / static_cast<double>(ap.size());
}

NuScenesScore score_nuscenes(std::span<const ScoredScan> scans, bool has_velocities, double max_distance) {
  check_scans(scans, max_distance);
  NuScenesScore score;
  for (const NuScenesClass& known : kNuScenesClasses) {
    const ClassBoxes boxes = boxes_of(known, scans, max_distance);
    if (boxes.truth_count == 0) continue;
    NuScenesClassScore& of_class = score.classes.emplace_back();
    of_class.name = known.name;
    of_class.truths = boxes.truth_count;
    for (std::size_t i = 0; i < kMatchDistances.size(); ++i) {
      const Matches matches = match_nearest(boxes, kMatchDistances[i]);
      of_class.ap[i] = area_of(matches, boxes.truth_count);
      if (i == kErrorDistance) of_class.errors = errors_of(known, boxes, matches, has_velocities);
    }
  }
  const auto mean = [&](double DetectionErrors::*error) {
    return mean_over(score.classes, [&](const NuScenesClassScore& of_class) { return of_class.errors.*error; });
  };
  score.mean_ap = mean_over(score.classes, [](const NuScenesClassScore& of_class) { return of_class.mean_ap(); });
  score.errors = {mean(&DetectionErrors::translation), mean(&DetectionErrors::scale),
                  mean(&DetectionErrors::orientation), mean(&DetectionErrors::velocity)};
  score.nds = nds_of(score);
  return score;
}

}  // namespace voxshift
