// The confusion matrix against counts made by hand and against the official evaluator's formulas in plain loops.
#include <voxshift/tasks/confusion.h>

#include <cmath>
#include <random>

#include "device_fixture.h"

namespace voxshift {
namespace {

using Labels = std::vector<std::uint8_t>;
constexpr std::uint8_t kNone = kUnlabelled;

// Four points of class 0 (one predicted as 1, one as none), three of class 1 (one predicted as 0), one of class 2
// (predicted as 1), two without a class.
const Labels kTruth{0, 0, 0, 0, 1, 1, 1, 2, kNone, kNone};
const Labels kPredicted{0, 0, 1, kNone, 1, 1, 0, 1, 0, 2};

ConfusionMatrix matrix_of(std::int64_t classes, const Labels& predicted, const Labels& truth) {
  ConfusionMatrix matrix(classes);
  matrix.add(predicted, truth);
  return matrix;
}

/// What np_ioueval.py computes: class 0 is the ignored one, matrix[prediction][truth], its column for truth is zeroed.
struct Official {
  std::vector<double> iou;
  double mean_iou = 0, accuracy = 0;
};

Official official(std::size_t classes, const Labels& predicted, const Labels& truth) {
  const auto shifted = [](std::uint8_t id) { return id == kNone ? std::size_t{0} : std::size_t{id} + 1; };
  std::vector<std::vector<double>> counts(classes + 1, std::vector<double>(classes + 1));
  for (std::size_t i = 0; i < truth.size(); ++i) counts[shifted(predicted[i])][shifted(truth[i])] += 1;
  for (auto& row : counts) row[0] = 0;
  Official result;
  double hits = 0, positives = 0;
  for (std::size_t c = 1; c <= classes; ++c) {
    double row = 0, column = 0;
    for (std::size_t other = 0; other <= classes; ++other) {
      row += counts[c][other];
      column += counts[other][c];
    }
    result.iou.push_back(counts[c][c] / (row + column - counts[c][c] + 1e-15));
    result.mean_iou += result.iou.back() / static_cast<double>(classes);
    hits += counts[c][c];
    positives += row;
  }
  result.accuracy = hits / (positives + 1e-15);
  return result;
}

TEST(Confusion, CountsByHand) {
  const ConfusionMatrix matrix = matrix_of(3, kPredicted, kTruth);
  const std::int64_t expected[3][3] = {{2, 1, 0}, {1, 2, 1}, {0, 0, 0}};
  for (int predicted = 0; predicted < 3; ++predicted)
    for (int truth = 0; truth < 3; ++truth)
      EXPECT_EQ(matrix.count(predicted, truth), expected[predicted][truth]) << predicted << " " << truth;
  EXPECT_EQ(matrix.count(kNone, 0), 1);
  EXPECT_EQ(matrix.count(kNone, 1), 0);
  EXPECT_EQ(matrix.classes(), 3);
  EXPECT_EQ(matrix.points(), 8);
  EXPECT_EQ(matrix.true_points(0), 4);
  EXPECT_EQ(matrix.true_points(1), 3);
  EXPECT_EQ(matrix.true_points(2), 1);
  EXPECT_EQ(matrix.predicted_points(0), 3);
  EXPECT_EQ(matrix.predicted_points(1), 4);
  EXPECT_EQ(matrix.predicted_points(2), 0);
  EXPECT_EQ(matrix.predicted_points(kNone), 1);
}

TEST(Confusion, ScoresByHand) {
  const ConfusionMatrix matrix = matrix_of(3, kPredicted, kTruth);
  const auto iou = matrix.iou();
  ASSERT_EQ(iou.size(), 3U);
  EXPECT_DOUBLE_EQ(iou[0], 2.0 / 5);  // 1 false positive, 2 misses, one of them unlabelled
  EXPECT_DOUBLE_EQ(iou[1], 2.0 / 5);  // 2 false positives, 1 miss
  EXPECT_EQ(iou[2], 0);
  EXPECT_DOUBLE_EQ(matrix.mean_iou(), 0.8 / 3);
  EXPECT_DOUBLE_EQ(matrix.accuracy(), 4.0 / 7);  // the miss that is unlabelled is no positive of any class
}

TEST(Confusion, AbsentClassesByHand) {
  // Class 0 is right, class 1 is only predicted, class 2 is nowhere.
  const ConfusionMatrix matrix = matrix_of(3, {0, 0, 0, 1}, {0, 0, 0, 0});
  EXPECT_EQ(matrix.iou()[1], 0);
  EXPECT_EQ(matrix.iou()[2], 0);
  EXPECT_DOUBLE_EQ(matrix.mean_iou(), 0.75 / 3);
  EXPECT_EQ(matrix.iou(AbsentClass::kOne)[1], 1);
  EXPECT_EQ(matrix.iou(AbsentClass::kOne)[2], 1);
  EXPECT_DOUBLE_EQ(matrix.mean_iou(AbsentClass::kOne), 2.75 / 3);
  EXPECT_EQ(matrix.iou(AbsentClass::kLeftOut)[1], 0);
  EXPECT_TRUE(std::isnan(matrix.iou(AbsentClass::kLeftOut)[2]));
  EXPECT_DOUBLE_EQ(matrix.mean_iou(AbsentClass::kLeftOut), 0.75 / 2);
}

TEST(Confusion, LabelsAgainstThemselves) {
  const Labels labels{0, 3, 3, 3, kNone, 0, 3};
  const ConfusionMatrix matrix = matrix_of(5, labels, labels);
  EXPECT_EQ(matrix.points(), 6);
  EXPECT_EQ(matrix.accuracy(), 6 / (6 + 1e-15));
  EXPECT_EQ(matrix.iou()[0], 2 / (2 + 1e-15));  // the evaluator's 1e-15 and all
  EXPECT_DOUBLE_EQ(matrix.iou()[3], 1);
  EXPECT_DOUBLE_EQ(matrix.mean_iou(), 2.0 / 5);  // three absent classes are 0
  EXPECT_DOUBLE_EQ(matrix.mean_iou(AbsentClass::kOne), 1);
  EXPECT_DOUBLE_EQ(matrix.mean_iou(AbsentClass::kLeftOut), 1);
}

TEST(Confusion, AsTheOfficialFormulas) {
  std::mt19937 random(1);
  for (const std::size_t classes : {1, 2, 19, 22, 255}) {
    SCOPED_TRACE(classes);
    Labels predicted(5000), truth(5000);
    const auto label = [&] {
      const auto id = random() % (classes + 2);  // every class but the last ones often, none at times
      return id >= classes ? kNone : static_cast<std::uint8_t>(id);
    };
    for (std::size_t i = 0; i < truth.size(); ++i) {
      truth[i] = label();
      predicted[i] = random() % 3 == 0 ? label() : truth[i];
    }
    const ConfusionMatrix matrix = matrix_of(static_cast<std::int64_t>(classes), predicted, truth);
    const Official expected = official(classes, predicted, truth);
    EXPECT_EQ(matrix.iou(), expected.iou);
    EXPECT_DOUBLE_EQ(matrix.accuracy(), expected.accuracy);
    EXPECT_NEAR(matrix.mean_iou(), expected.mean_iou, 1e-14);
  }
}

TEST(Confusion, PartsAddUp) {
  ConfusionMatrix parts(3);
  for (std::size_t i = 0; i < kTruth.size(); ++i) parts.merge(matrix_of(3, {kPredicted[i]}, {kTruth[i]}));
  ConfusionMatrix pieces =
      matrix_of(3, {kPredicted.begin(), kPredicted.begin() + 4}, {kTruth.begin(), kTruth.begin() + 4});
  pieces.add(Labels(kPredicted.begin() + 4, kPredicted.end()), Labels(kTruth.begin() + 4, kTruth.end()));
  const ConfusionMatrix whole = matrix_of(3, kPredicted, kTruth);
  for (int predicted : {0, 1, 2, int{kNone}})
    for (int truth = 0; truth < 3; ++truth) {
      EXPECT_EQ(parts.count(predicted, truth), whole.count(predicted, truth));
      EXPECT_EQ(pieces.count(predicted, truth), whole.count(predicted, truth));
    }
}

TEST(Confusion, NothingToScore) {
  for (const ConfusionMatrix& matrix :
       {ConfusionMatrix(2), matrix_of(2, {0, 1}, {kNone, kNone}), matrix_of(2, {}, {})}) {
    EXPECT_EQ(matrix.points(), 0);
    EXPECT_EQ(matrix.mean_iou(), 0);
    EXPECT_EQ(matrix.accuracy(), 0);
    EXPECT_EQ(matrix.mean_iou(AbsentClass::kOne), 1);
    EXPECT_TRUE(std::isnan(matrix.mean_iou(AbsentClass::kLeftOut)));
  }
}

TEST(Confusion, Refused) {
  expect_throw([] { ConfusionMatrix(0); }, {"1 to 255", "0"});
  expect_throw([] { ConfusionMatrix(256); }, {"1 to 255", "256"});
  ConfusionMatrix matrix(3);
  expect_throw([&] { matrix.add(Labels{0, 1}, Labels{0}); }, {"2 and 1"});
  expect_throw([&] { matrix.add(Labels{0, 3}, Labels{0, 0}); }, {"predicted", "0 to 2 or 255", "found 3 at point 1"});
  expect_throw([&] { matrix.add(Labels{0, 0}, Labels{0, 254}); }, {"truth", "found 254 at point 1"});
  EXPECT_EQ(matrix.points(), 0);  // the good point before a bad one is not counted either
  expect_throw([&] { matrix.merge(ConfusionMatrix(4)); }, {"3 classes", "found 4"});
  for (const auto& [predicted, truth] : {std::pair{3, 0}, {-1, 0}, {0, 3}, {0, -1}, {0, 255}, {256, 0}})
    expect_throw([&, p = predicted, t = truth] { matrix.count(p, t); }, {"3 classes"});
  expect_throw([] { ConfusionMatrix(2, {1, 2, 3, 4}); }, {"6 counts", "found 4"});
  constexpr std::int64_t kMany = std::int64_t{1} << 62;
  expect_throw([] { ConfusionMatrix(2, {kMany, 1, 0, 0, 0, 0}); }, {"2^62 points"});
  expect_throw([] { ConfusionMatrix(1, {kMany, kMany}); }, {"2^62 points"});
  ConfusionMatrix full(1, {kMany, 0});
  expect_throw([&] { full.merge(full); }, {"2^62 points"});
  EXPECT_EQ(full.points(), kMany);
  expect_throw([] { ConfusionMatrix(2, {1, 2, 3, 4, 5, -1}); }, {"at least 0"});
  EXPECT_EQ(ConfusionMatrix(2, {1, 2, 3, 4, 5, 6}).count(kNone, 1), 6);
  EXPECT_EQ(ConfusionMatrix(255).count(kNone, 254), 0);
}

}  // namespace
}  // namespace voxshift
