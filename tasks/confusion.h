// Counts of predicted against true classes, and the scores of semantic segmentation made of them.
#pragma once

#include <voxshift/tasks/classes.h>

#include <cstdint>
#include <span>
#include <vector>

namespace voxshift {

/// The IoU of a class that does not occur.
enum class AbsentClass {
  kZero,     ///< 0 (SemanticKITTI's evaluator: 0 / 1e-15)
  kOne,      ///< 1 for a class without a true point, whatever was predicted (spvnas)
  kLeftOut,  ///< NaN, and no part of the mean, for a class neither true nor predicted anywhere (nuScenes)
};

/// matrix[p][t]: points of true class t that were predicted as p. Points whose truth is kUnlabelled count nowhere; a
/// labelled point that was predicted as kUnlabelled is a miss of its true class.
///
/// With TP = matrix[c][c], FP = sum_t matrix[c][t] - TP, FN = points of true class c - TP:
///   IoU_c = TP / (TP + FP + FN + 1e-15),   mIoU = the mean over classes,
///   accuracy = sum TP / (sum (TP + FP) + 1e-15): misses predicted as kUnlabelled are not part of it.
/// Source: np_ioueval.py of the SemanticKITTI API.
class ConfusionMatrix {
 public:
  /// classes: 1 to 255. Throws InvalidArgument.
  explicit ConfusionMatrix(std::int64_t classes);

  /// One that has counted already: `counts` as counts() gives them. Throws InvalidArgument for another number of them,
  /// for negative ones, and for more than 2^62 points.
  ConfusionMatrix(std::int64_t classes, std::vector<std::int64_t> counts);

  /// Adds points by their train ids, 0 to classes - 1 or kUnlabelled. Throws InvalidArgument, and adds none, where the
  /// two differ in length or an id is outside.
  void add(std::span<const std::uint8_t> predicted, std::span<const std::uint8_t> truth);

  /// Adds the counts of another matrix. Throws InvalidArgument where its number of classes is another,
  /// and where both together have more than 2^62 points.
  void merge(const ConfusionMatrix& other);

  std::int64_t classes() const { return classes_; }

  /// Points of true class `truth` predicted as `predicted`, which may be kUnlabelled. Throws InvalidArgument.
  std::int64_t count(std::int64_t predicted, std::int64_t truth) const;

  /// [classes + 1, classes] row-major, rows predicted, columns true; the last row: predicted as kUnlabelled.
  const std::vector<std::int64_t>& counts() const { return counts_; }

  /// Points of the true class, whatever they were predicted as.
  std::int64_t true_points(std::int64_t truth) const;

  /// Points with a true class that were predicted as this one, which may be kUnlabelled.
  std::int64_t predicted_points(std::int64_t predicted) const;

  /// All points with a true class.
  std::int64_t points() const;

  std::vector<double> iou(AbsentClass absent = AbsentClass::kZero) const;

  /// NaN where every class is left out.
  double mean_iou(AbsentClass absent = AbsentClass::kZero) const;

  double accuracy() const;

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

}  // namespace voxshift
