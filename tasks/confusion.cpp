#include <voxshift/tasks/confusion.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kMostPoints = std::int64_t{1} << 62;  // of given counts, so that no sum of counts overflows
constexpr double kTiny = 1e-15;                              // the official evaluator's, so that 0 / 0 is 0

void check_labels(const char* what, std::span<const std::uint8_t> labels, std::int64_t classes) {
  const auto wrong =
      std::ranges::find_if(labels, [&](std::uint8_t label) { return label >= classes && label != kUnlabelled; });
  check(wrong == labels.end(), "[ConfusionMatrix] ", what, " expects train ids of 0 to ", classes - 1, " or ",
        int{kUnlabelled}, ", found ", wrong == labels.end() ? 0 : int{*wrong}, " at point ", wrong - labels.begin());
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(std::int64_t classes) : classes_(classes) {
  check(classes >= 1 && classes <= kUnlabelled, "[ConfusionMatrix] classes expects 1 to ", int{kUnlabelled}, ", found ",
        classes);
  counts_.resize(static_cast<std::size_t>((classes + 1) * classes));
}

ConfusionMatrix::ConfusionMatrix(std::int64_t classes, std::vector<std::int64_t> counts) : ConfusionMatrix(classes) {
  check(counts.size() == counts_.size() && std::ranges::all_of(counts, [](std::int64_t count) { return count >= 0; }),
        "[ConfusionMatrix] expected ", counts_.size(), " counts of at least 0, found ", counts.size(), " numbers");
  std::int64_t left = kMostPoints;
  for (const std::int64_t count : counts) {
    check(count <= left, "[ConfusionMatrix] expected at most 2^62 points, found more");
    left -= count;
  }
  counts_ = std::move(counts);
}

void ConfusionMatrix::add(std::span<const std::uint8_t> predicted, std::span<const std::uint8_t> truth) {
  check(predicted.size() == truth.size(), "[ConfusionMatrix] expected as many predictions as true labels, found ",
        predicted.size(), " and ", truth.size());
  check_labels("predicted", predicted, classes_);
  check_labels("truth", truth, classes_);
  const auto classes = static_cast<std::size_t>(classes_);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const std::size_t row = predicted[i] == kUnlabelled ? classes : predicted[i];
    if (truth[i] != kUnlabelled) ++counts_[row * classes + truth[i]];
  }
}

void ConfusionMatrix::merge(const ConfusionMatrix& other) {
  check(other.classes_ == classes_, "[ConfusionMatrix] expected a matrix of ", classes_, " classes, found ",
        other.classes_);
  check(points() <= kMostPoints - other.points(), "[ConfusionMatrix] expected at most 2^62 points, found ", points(),
        " and ", other.points());
  std::ranges::transform(counts_, other.counts_, counts_.begin(), std::plus());
}

std::int64_t ConfusionMatrix::count(std::int64_t predicted, std::int64_t truth) const {
  const std::int64_t row = predicted == kUnlabelled ? classes_ : predicted;
  check(row >= 0 && row <= classes_ && (row < classes_ || predicted == kUnlabelled) && truth >= 0 && truth < classes_,
        "[ConfusionMatrix] has ", classes_, " classes, found predicted ", predicted, " and truth ", truth);
  return counts_[static_cast<std::size_t>(row * classes_ + truth)];
}

std::int64_t ConfusionMatrix::true_points(std::int64_t truth) const {
  std::int64_t sum = count(kUnlabelled, truth);
  for (std::int64_t predicted = 0; predicted < classes_; ++predicted) sum += count(predicted, truth);
  return sum;
}

std::int64_t ConfusionMatrix::predicted_points(std::int64_t predicted) const {
  std::int64_t sum = 0;
  for (std::int64_t truth = 0; truth < classes_; ++truth) sum += count(predicted, truth);
  return sum;
}

std::int64_t ConfusionMatrix::points() const {
  std::int64_t sum = 0;
  for (const std::int64_t n : counts_) sum += n;
  return sum;
}

std::vector<double> ConfusionMatrix::iou(AbsentClass absent) const {
  std::vector<double> result;
  for (std::int64_t c = 0; c < classes_; ++c) {
    const std::int64_t hits = count(c, c), truth = true_points(c), union_points = truth + predicted_points(c) - hits;
    if (absent == AbsentClass::kOne && truth == 0) {
      result.push_back(1);
    } else if (absent == AbsentClass::kLeftOut && union_points == 0) {
      result.push_back(std::numeric_limits<double>::quiet_NaN());
    } else {
      result.push_back(static_cast<double>(hits) / (static_cast<double>(union_points) + kTiny));
    }
  }
  return result;
}

double ConfusionMatrix::mean_iou(AbsentClass absent) const {
  double sum = 0;
  int counted = 0;
  for (const double value : iou(absent)) {
    if (std::isnan(value)) continue;
    sum += value;
    ++counted;
  }
  return counted > 0 ? sum / counted : std::numeric_limits<double>::quiet_NaN();
}

double ConfusionMatrix::accuracy() const {
  std::int64_t hits = 0, predicted = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    hits += count(c, c);
    predicted += predicted_points(c);
  }
  return static_cast<double>(hits) / (static_cast<double>(predicted) + kTiny);
}

}  // namespace voxshift
