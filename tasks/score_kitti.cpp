#include <voxshift/detection/boxes.h>
#include <voxshift/tasks/detection_score.h>

#include <algorithm>
#include <functional>

#include "detection_inputs.h"

namespace voxshift {
namespace {

struct KittiClass {
  const char* name;
  const char* neighbour;  ///< a type that is neither hit nor missed
  double overlap;
};

constexpr KittiClass kKittiClasses[] = {{"Car", "Van", 0.7},
                                        {"Pedestrian", "Person_sitting", 0.5},
                                        {"Cyclist", "", 0.5},
                                        {"Van", "", 0.7},
                                        {"Truck", "", 0.7}};
constexpr std::size_t kRecallSteps = 41;

/// What is of a class in one scan, or its neighbour.
struct ClassScan {
  std::vector<Box3d> detections, truths;
  std::vector<float> scores;
  std::vector<bool> neighbour;       ///< of truths
  std::vector<std::size_t> hardest;  ///< of truths: the first level that has it by its points; 3: none has
  Array bev, volume;                 ///< f32 [detections, truths]
};

/// A ClassScan as one level sees it.
struct LevelScan {
  const ClassScan* scan;
  const float* overlaps;  ///< [detections, truths]
  std::vector<bool> truth_ignored = {}, detection_ignored = {};

  double overlap(std::size_t detection, std::size_t truth) const {
    return overlaps[detection * truth_ignored.size() + truth];
  }
  bool counts(std::size_t truth, std::size_t detection) const {
    return !truth_ignored[truth] && !detection_ignored[detection];
  }
};

std::size_t first_level(const ScoredScan& scan, std::size_t truth) {
  const auto has = [&](const DetectionLevel& level) {
    return scan.points.empty() ? scan.truths[truth].occlusion <= level.occlusion : scan.points[truth] >= level.points;
  };
  return static_cast<std::size_t>(std::ranges::find_if(kDetectionLevels, has) - kDetectionLevels.begin());
}

Array array_of(const std::vector<Box3d>& boxes) {
  std::vector<float> rows;
  for (const Box3d& b : boxes) rows.insert(rows.end(), {b.x, b.y, b.z, b.length, b.width, b.height, b.yaw});
  return Array::from(rows, {static_cast<std::int64_t>(boxes.size()), 7});
}

ClassScan scan_of(const KittiClass& known, const ScoredScan& scan) {
  ClassScan found;
  for (const LabelledBox& detection : scan.predictions)
    if (same_type(detection.type, known.name)) {
      found.detections.push_back(detection.box);
      found.scores.push_back(detection.score);
    }
  for (std::size_t i = 0; i < scan.truths.size(); ++i) {
    const LabelledBox& truth = scan.truths[i];
    const bool is_neighbour = same_type(truth.type, known.neighbour);
    if (!is_neighbour && !same_type(truth.type, known.name)) continue;
    found.truths.push_back(truth.box);
    found.neighbour.push_back(is_neighbour);
    found.hardest.push_back(first_level(scan, i));
  }
  const Array detections = array_of(found.detections), truths = array_of(found.truths);
  found.bev = boxes_iou_bev(detections, truths);
  found.volume = boxes_iou3d(detections, truths);
  return found;
}

LevelScan at_level(const ClassScan& scan, const Array& overlaps, std::size_t level, double max_distance) {
  const double farthest = std::min(max_distance, kDetectionLevels[level].distance);
  LevelScan seen{&scan, overlaps.data<float>()};
  for (std::size_t i = 0; i < scan.truths.size(); ++i)
    seen.truth_ignored.push_back(scan.neighbour[i] || scan.hardest[i] > level ||
                                 !(distance_of(scan.truths[i]) <= farthest));
  for (const Box3d& box : scan.detections) seen.detection_ignored.push_back(!(distance_of(box) <= farthest));
  return seen;
}

/// Every truth takes, of the detections that are not `taken` and overlap it more than `overlap`, the one that is
/// better(truth, it, another) than all others, the first of equals; and take(truth, it) is told so.
template <class Better, class Take>
void match(const LevelScan& seen, double overlap, std::vector<bool>& taken, const Better& better, const Take& take) {
  const std::size_t detections = taken.size(), truths = seen.truth_ignored.size();
  for (std::size_t truth = 0; truth < truths; ++truth) {
    std::size_t best = detections;
    for (std::size_t d = 0; d < detections; ++d)
      if (!taken[d] && seen.overlap(d, truth) > overlap && (best == detections || better(truth, d, best))) best = d;
    if (best == detections) continue;
    taken[best] = true;
    take(truth, best);
  }
}

/// The scores of the hits, where every truth takes the detection of the highest score.
void add_hit_scores(const LevelScan& seen, double overlap, std::vector<float>& hits) {
  const std::vector<float>& scores = seen.scan->scores;
  std::vector<bool> taken(scores.size(), false);
  match(
      seen, overlap, taken, [&](std::size_t, std::size_t d, std::size_t best) { return scores[d] > scores[best]; },
      [&](std::size_t truth, std::size_t d) {
        if (seen.counts(truth, d)) hits.push_back(scores[d]);
      });
}

struct HitsAndAlarms {
  std::int64_t hits = 0, alarms = 0;
};

/// Of the detections with at least the threshold's score, where every truth takes the one that overlaps most.
void add_counts(const LevelScan& seen, double overlap, float threshold, HitsAndAlarms& counts) {
  const auto& ignored = seen.detection_ignored;
  std::vector<bool> taken;
  for (const float score : seen.scan->scores) taken.push_back(score < threshold);
  const std::vector<bool> below = taken;
  match(
      seen, overlap, taken,
      [&](std::size_t truth, std::size_t d, std::size_t best) {
        return !ignored[d] && (ignored[best] || seen.overlap(d, truth) > seen.overlap(best, truth));
      },
      [&](std::size_t truth, std::size_t d) { counts.hits += seen.counts(truth, d); });
  for (std::size_t d = 0; d < taken.size(); ++d) counts.alarms += !taken[d] && !ignored[d];
}

/// Scores at which the recall passes 0, 1/40, 2/40 ..: of two hits beside such a step the nearer one.
std::vector<float> thresholds_of(std::vector<float> hits, std::int64_t truths) {
  std::ranges::sort(hits, std::greater<>());
  std::vector<float> thresholds;
  double step = 0;
  for (std::size_t i = 0; i < hits.size() && thresholds.size() < kRecallSteps; ++i) {
    const bool is_last = i + 1 == hits.size();
    const double recall = static_cast<double>(i + 1) / static_cast<double>(truths);
    const double next = static_cast<double>(i + 2) / static_cast<double>(truths);
    if (!is_last && next - step < step - recall) continue;
    thresholds.push_back(hits[i]);
    step += 1 / static_cast<double>(kRecallSteps - 1);
  }
  return thresholds;
}

double average_precision(const std::vector<LevelScan>& scans, double overlap, std::int64_t truths) {
  if (truths == 0) return std::numeric_limits<double>::quiet_NaN();
  std::vector<float> hits;
  for (const LevelScan& scan : scans) add_hit_scores(scan, overlap, hits);
  const std::vector<float> thresholds = thresholds_of(std::move(hits), truths);
  double sum = 0, highest = 0;
  for (std::size_t step = thresholds.size(); step-- > 1;) {  // step 0, where no recall is asked for, is left out
    HitsAndAlarms counts;
    for (const LevelScan& scan : scans) add_counts(scan, overlap, thresholds[step], counts);
    const auto all = static_cast<double>(std::max<std::int64_t>(counts.hits + counts.alarms, 1));
    highest = std::max(highest, static_cast<double>(counts.hits) / all);
    sum += highest;
  }
  return sum / static_cast<double>(kRecallSteps - 1);
}

KittiClassScore score_class(const KittiClass& known, std::span<const ScoredScan> scans, double max_distance) {
  std::vector<ClassScan> found;
  for (const ScoredScan& scan : scans) found.push_back(scan_of(known, scan));
  KittiClassScore score{.name = known.name, .overlap = known.overlap};
  for (std::size_t level = 0; level < kDetectionLevels.size(); ++level) {
    std::vector<LevelScan> bev, volume;
    for (const ClassScan& scan : found) {
      bev.push_back(at_level(scan, scan.bev, level, max_distance));
      volume.push_back(at_level(scan, scan.volume, level, max_distance));
      score.truths[level] += std::ranges::count(bev.back().truth_ignored, false);
    }
    score.bev[level] = average_precision(bev, known.overlap, score.truths[level]);
    score.volume[level] = average_precision(volume, known.overlap, score.truths[level]);
  }
  return score;
}

}  // namespace

KittiScore score_kitti(std::span<const ScoredScan> scans, double max_distance) {
  check_scans(scans, max_distance);
  KittiScore score;
  for (const KittiClass& known : kKittiClasses)
    if (has_truth(scans, [&](const std::string& type) { return same_type(type, known.name); }))
      score.classes.push_back(score_class(known, scans, max_distance));
  return score;
}

}  // namespace voxshift
