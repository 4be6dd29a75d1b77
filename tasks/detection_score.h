// How good detected boxes are: KITTI's average precision by overlap, nuScenes' by distance with the errors of what is
// found.
#pragma once

#include <voxshift/files/kitti.h>
#include <voxshift/tensor/array.h>

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// What was found in a scan and what is there.
struct ScoredScan {
  std::vector<LabelledBox> predictions;   ///< with scores
  std::vector<LabelledBox> truths;        ///< objects of other types than a protocol's count nowhere
  std::vector<std::int64_t> points = {};  ///< of the scan in each truth (points_in_boxes); empty: not known
};

constexpr double kAnyDistance = std::numeric_limits<double>::infinity();

/// Points of a scan in each box: i64 [M], sides included. points f32 [N, C], C >= 3, on the CPU: x y z; those that are
/// not finite are in none. A point may be in several boxes. Throws InvalidArgument.
std::vector<std::int64_t> points_in_boxes(const Array& points, std::span<const LabelledBox> objects);

/// How hard an object may be to be counted. Whole-turn scans have no image, on whose heights, truncation and occlusion
/// KITTI's levels rest: here the points in the box decide, or where nobody counted them the occlusion (which the
/// simulator writes by these same limits), and the distance from the sensor.
struct DetectionLevel {
  const char* name;
  std::int64_t points;  ///< at least
  int occlusion;        ///< at most
  double distance;      ///< metres, at most
};

/// Easy, moderate, hard; each has what is in those before.
constexpr std::array<DetectionLevel, 3> kDetectionLevels{
    {{"easy", 50, 0, 30}, {"moderate", 15, 1, 50}, {"hard", 5, 2, 70}}};

/// By the levels of kDetectionLevels.
struct KittiClassScore {
  std::string name;
  double overlap = 0;                     ///< of which a match has more
  std::array<std::int64_t, 3> truths{};   ///< that count
  std::array<double, 3> bev{}, volume{};  ///< average precision, 0 to 1, by overlap seen from above and of volumes; NaN
                                          ///< without a truth
};

struct KittiScore {
  std::vector<KittiClassScore> classes;  ///< those that occur in the truths
};

/// KITTI's average precision of Car, Van, Truck (overlap > 0.7), Pedestrian and Cyclist (> 0.5); types in any case. As
/// its evaluator (evaluate_object.cpp, R40) but for the levels:
///  - A level ignores truths that are harder, those of a neighbouring type (Van for Car, Person_sitting for
///    Pedestrian), and detections beyond its distance: they are matched, but neither hits, misses nor false alarms.
///  - At a threshold of the score each truth, in the order given, takes the detection that overlaps most of those left,
///    one that is not ignored before one that is; of equal ones the first.
///  - Thresholds are the scores of the hits, where each truth takes the highest score, at up to 41 steps of the recall;
///    precisions are made to fall with the recall; AP is the mean of those at recall 1/40, 2/40 .. 1.
/// What is farther than `max_distance` metres is ignored at every level. Throws InvalidArgument for a score that is
/// not finite, another number of `points` than truths, and a distance that is not positive.
KittiScore score_kitti(std::span<const ScoredScan> scans, double max_distance = kAnyDistance);

/// The errors of matched detections, NaN where a class has none.
struct DetectionErrors {
  double translation = 0;  ///< metres between the centres, seen from above
  double scale = 0;        ///< 1 - overlap of the volumes when centre and heading are the same
  double orientation = 0;  ///< radians, 0 to pi; of a barrier to pi / 2
  double velocity = 0;     ///< metres a second; NaN where nobody knows velocities
};

constexpr std::array<double, 4> kMatchDistances{0.5, 1, 2, 4};  // metres

struct NuScenesClassScore {
  std::string name;
  std::int64_t truths = 0;
  std::array<double, 4> ap{};  ///< by kMatchDistances, 0 to 1
  DetectionErrors errors;

  double mean_ap() const;
};

struct NuScenesScore {
  std::vector<NuScenesClassScore> classes;  ///< those that occur in the truths
  double mean_ap = 0;                       ///< of the classes' means
  DetectionErrors errors;                   ///< means over the classes that have one
  double nds = 0;                           ///< without attributes
};

/// nuScenes' detection score (nuscenes-devkit, configuration detection_cvpr_2019): detections of a class, by falling
/// score (of equal ones the last first), each match the nearest truth of the scan that is left and nearer than the
/// limit; AP is the area above 10 % precision and recall. Errors are those of matches within 2 m, averaged over the
/// recall from 11 % to the highest. Truths without a point are left out, as is what is not nearer than the class' range
/// (50, 40 or 30 m) or `max_distance`.
///
/// It differs in three things. Types are nuScenes' ten in any case, also Van (car) and Cyclist (bicycle). Classes that
/// do not occur are left out of the means, where the devkit has AP 0 and errors 1. There are no attributes, and
/// velocities only where has_velocities: with the n errors that are known
///   NDS = (5 mAP + sum of max(0, 1 - error)) / (5 + n).
/// Errors as score_kitti's.
NuScenesScore score_nuscenes(std::span<const ScoredScan> scans, bool has_velocities = false,
                             double max_distance = kAnyDistance);

}  // namespace voxshift
