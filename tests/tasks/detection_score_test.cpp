// Scores of detections against numbers worked out by hand. Boxes lie along the axes, so that overlaps are products.
#include <gtest/gtest.h>
#include <voxshift/tasks/detection_score.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <numbers>

namespace voxshift {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kPi = std::numbers::pi_v<float>;

/// 4 m long, 2 m wide, 1.5 m high. The overlap of two that are d metres apart along their length is (4 - d) / (4 + d).
LabelledBox object(const std::string& type, float ahead, float left, float score = kNaN) {
  return {.type = type, .box = {ahead, left, 0, 4, 2, 1.5F, 0}, .score = score};
}

/// 80 objects, none farther than 28 m, and their detections with scores 80, 79 .. 1. KITTI's thresholds are then the
/// scores of the hits 1, 2, 4, 6 .. 80: recall 0 and the 40 steps 1/40 .. 1.
ScoredScan eighty(const std::string& type = "Car") {
  ScoredScan scan;
  for (int i = 0; i < 80; ++i) {
    const int row = i / 8, column = i % 8;
    const auto ahead = static_cast<float>(5 * row - 20), left = static_cast<float>(3 * column - 10);
    scan.truths.push_back(object(type, ahead, left));
    scan.predictions.push_back(object(type, ahead, left, static_cast<float>(80 - i)));
  }
  return scan;
}

KittiClassScore kitti(const ScoredScan& scan, double max_distance = kAnyDistance) {
  return score_kitti({&scan, 1}, max_distance).classes.at(0);
}

NuScenesScore nuscenes(const ScoredScan& scan, bool has_velocities = false) {
  return score_nuscenes({&scan, 1}, has_velocities);
}

TEST(KittiScore, AllFoundAndNothingElse) {
  const KittiClassScore score = kitti(eighty());
  EXPECT_EQ(score.name, "Car");
  EXPECT_EQ(score.overlap, 0.7);
  for (std::size_t level = 0; level < 3; ++level) {
    EXPECT_EQ(score.truths[level], 80);
    EXPECT_DOUBLE_EQ(score.bev[level], 1);
    EXPECT_DOUBLE_EQ(score.volume[level], 1);
  }
}

TEST(KittiScore, FewObjects) {
  // Two hits are two thresholds. The first is for recall 0, which does not count, so one step of 40 has a precision.
  const ScoredScan two{{object("Car", 10, 0, 0.9F), object("Car", 20, 0, 0.8F)},
                       {object("Car", 10, 0), object("Car", 20, 0)}};
  EXPECT_DOUBLE_EQ(kitti(two).bev[0], 1 / 40.0);
}

TEST(KittiScore, HalfAreFound) {
  // 40 hits of 80 reach the steps 1 to 20.
  ScoredScan scan = eighty();
  scan.predictions.resize(40);
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 0.5);
}

TEST(KittiScore, FalseAlarms) {
  // At step k there are 2 k hits and an alarm: 2 k / (2 k + 1) rises, so each step has the 80 / 81 of the last.
  ScoredScan scan = eighty();
  scan.predictions.push_back(object("Car", 20, 20, 100));
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 80 / 81.0);
  scan.predictions.back().score = 0.5F;  // below the score of the last hit
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
  scan.predictions.back().score = 40;  // as hit 41: steps 1 to 20 have none, those after it 80 / 81
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], (20 + 20 * 80 / 81.0) / 40);
}

TEST(KittiScore, ASecondDetectionIsAFalseAlarm) {
  // Each truth takes one: hits have the scores 100, 79 .. 1, and the 80 of the other is an alarm from step 1 on.
  ScoredScan scan = eighty();
  LabelledBox again = scan.predictions[0];
  again.score = 100;
  scan.predictions.push_back(again);
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 80 / 81.0);
  scan.predictions.back().score = 0.5F;  // below the 1 of the last hit, for the hit is that of the higher score
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
}

TEST(KittiScore, OverlapIsWhatAMatchHasMoreOf) {
  const auto moved = [](const std::string& type, float ahead, float up) {
    ScoredScan scan = eighty(type);
    for (LabelledBox& truth : scan.truths) truth.box.x += ahead, truth.box.z += up;
    return kitti(scan);
  };
  EXPECT_DOUBLE_EQ(moved("Car", 0.5F, 0).bev[0], 1);  // 3.5 / 4.5 = 0.78
  EXPECT_DOUBLE_EQ(moved("Car", 1, 0).bev[0], 0);     // 3 / 5 = 0.6
  EXPECT_DOUBLE_EQ(moved("Truck", 1, 0).bev[0], 0);
  EXPECT_DOUBLE_EQ(moved("Pedestrian", 1, 0).bev[0], 1);
  EXPECT_DOUBLE_EQ(moved("Cyclist", 1.5F, 0).bev[0], 0);  // 2.5 / 5.5 = 0.45
  EXPECT_DOUBLE_EQ(moved("Car", 0, 0.2F).volume[0], 1);   // 1.3 / 1.7 = 0.76
  EXPECT_DOUBLE_EQ(moved("Car", 0, 0.3F).volume[0], 0);   // 1.2 / 1.8 = 0.67
  EXPECT_DOUBLE_EQ(moved("Car", 0, 0.3F).bev[0], 1);
}

TEST(KittiScore, NeighboursAndOtherTypesAreNeitherHitsNorAlarms) {
  ScoredScan scan = eighty();
  scan.truths.push_back(object("Van", 27, 0));
  scan.truths.push_back(object("Tram", 27, 10));
  scan.truths.push_back({.type = "DontCare", .box = {}});
  scan.predictions.push_back(object("Car", 27, 0, 100));
  scan.predictions.push_back(object("Pedestrian", 0, 25, 100));
  const KittiScore score = score_kitti({&scan, 1});
  ASSERT_EQ(score.classes.size(), 2U);
  EXPECT_DOUBLE_EQ(score.classes[0].bev[0], 1);
  EXPECT_EQ(score.classes[0].truths[0], 80);
  EXPECT_EQ(score.classes[1].name, "Van");
  EXPECT_DOUBLE_EQ(score.classes[1].bev[0], 0);
  scan = eighty("pedestrian");
  scan.truths.push_back(object("Person_sitting", 27, 0));
  scan.predictions.push_back(object("PEDESTRIAN", 27, 0, 100));
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
}

TEST(KittiScore, LevelsByOcclusionOrByPoints) {
  // 40 truths are 40 thresholds, of which the first is recall 0: at most 39 / 40. What covers a harder truth is no
  // alarm.
  ScoredScan scan = eighty();
  for (std::size_t i = 0; i < 40; ++i) scan.truths[i].occlusion = i < 20 ? 1 : i < 30 ? 2 : 3;
  KittiClassScore score = kitti(scan);
  EXPECT_EQ(score.truths, (std::array<std::int64_t, 3>{40, 60, 70}));
  EXPECT_DOUBLE_EQ(score.bev[0], 39 / 40.0);
  for (std::size_t i = 0; i < 80; ++i) scan.points.push_back(i < 20 ? 49 : i < 30 ? 14 : i < 40 ? 4 : 50);
  for (LabelledBox& truth : scan.truths) truth.occlusion = 3;
  score = kitti(scan);
  EXPECT_EQ(score.truths, (std::array<std::int64_t, 3>{40, 60, 70}));
  EXPECT_DOUBLE_EQ(score.bev[0], 39 / 40.0);
  scan.points.assign(80, 15);
  EXPECT_TRUE(std::isnan(kitti(scan).bev[0]));
  EXPECT_DOUBLE_EQ(kitti(scan).bev[1], 1);
}

TEST(KittiScore, WhatIsFartherIsIgnored) {
  ScoredScan scan = eighty();
  scan.predictions.push_back(object("Car", 40, 0, 100));
  scan.truths.push_back(object("Car", 60, 0));
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
  EXPECT_DOUBLE_EQ(kitti(scan).bev[1], 80 / 81.0);
  EXPECT_EQ(kitti(scan).truths, (std::array<std::int64_t, 3>{80, 80, 81}));
  EXPECT_DOUBLE_EQ(kitti(scan, 39).bev[1], 1);
  EXPECT_EQ(kitti(scan, 39).truths[2], 80);
  EXPECT_TRUE(std::isnan(kitti(scan, 0.5).bev[2]));
}

TEST(KittiScore, AnObjectTakesWhatCountsBeforeWhatIsIgnored) {
  // The 81st truth, 29.6 m away, is overlapped best by a detection beyond 30 m (3.55 / 4.45 = 0.8, the other 3.4 / 4.6
  // = 0.74). It takes the other, which would else be an alarm.
  ScoredScan scan = eighty();
  scan.truths.push_back(object("Car", 29.6F, 0));
  scan.predictions.push_back(object("Car", 30.05F, 0, 50.4F));
  scan.predictions.push_back(object("Car", 29, 0, 50.5F));
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
  std::swap(scan.predictions[80], scan.predictions[81]);
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
  std::swap(scan.predictions[80], scan.predictions[81]);
  // Alone, the one that is ignored takes the truth away: a miss, but no alarm.
  scan.predictions.pop_back();
  EXPECT_DOUBLE_EQ(kitti(scan).bev[0], 1);
  EXPECT_EQ(kitti(scan).truths[0], 81);
}

TEST(KittiScore, ScansTogether) {
  std::vector<ScoredScan> scans(2, eighty());
  scans[1].predictions.clear();  // 80 hits of 160: of the steps 1/40 .. 1 half
  EXPECT_DOUBLE_EQ(score_kitti(scans).classes[0].bev[0], 0.5);
  EXPECT_EQ(score_kitti(scans).classes[0].truths[0], 160);
}

TEST(DetectionScore, NothingFoundAndNothingThere) {
  ScoredScan scan = eighty();
  scan.predictions.clear();
  EXPECT_EQ(kitti(scan).bev[0], 0);
  EXPECT_EQ(nuscenes(scan).mean_ap, 0);
  EXPECT_EQ(nuscenes(scan).errors.translation, 1);
  EXPECT_EQ(nuscenes(scan).nds, 0);
  scan = eighty();
  scan.truths.clear();
  EXPECT_TRUE(score_kitti({&scan, 1}).classes.empty());
  EXPECT_TRUE(nuscenes(scan).classes.empty());
  EXPECT_TRUE(std::isnan(nuscenes(scan).mean_ap));
  EXPECT_TRUE(score_kitti({}).classes.empty());
}

TEST(DetectionScore, Refused) {
  ScoredScan scan = eighty();
  EXPECT_THROW(kitti(scan, 0), InvalidArgument);
  EXPECT_THROW(kitti(scan, static_cast<double>(kNaN)), InvalidArgument);
  scan.points.resize(79);
  EXPECT_THROW(kitti(scan), InvalidArgument);
  scan = eighty();
  scan.predictions[3].score = kNaN;
  EXPECT_THROW(kitti(scan), InvalidArgument);
  EXPECT_THROW(nuscenes(scan), InvalidArgument);
  scan.predictions[3].score = std::numeric_limits<float>::infinity();
  EXPECT_THROW(nuscenes(scan), InvalidArgument);
}

TEST(NuScenesScore, DistancesAndErrors) {
  // 1.5 m away, half as long, turned by 0.5: found from 2 m on; sizes overlap by 6 / 12.
  const ScoredScan scan{{{.type = "Car", .box = {11.5F, 0, 0, 2, 2, 1.5F, 0.5F, 3, 0}, .score = 0.5F}},
                        {{.type = "car", .box = {10, 0, 0, 4, 2, 1.5F, 0, 0, 4}}}};
  NuScenesScore score = nuscenes(scan);
  ASSERT_EQ(score.classes.size(), 1U);
  EXPECT_EQ(score.classes[0].name, "car");
  EXPECT_EQ(score.classes[0].truths, 1);
  const std::array<double, 4> expected{0, 0, 1, 1};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(score.classes[0].ap[i], expected[i], 1e-12);
  EXPECT_NEAR(score.mean_ap, 0.5, 1e-12);
  EXPECT_NEAR(score.errors.translation, 1.5, 1e-12);
  EXPECT_NEAR(score.errors.scale, 0.5, 1e-12);
  EXPECT_NEAR(score.errors.orientation, 0.5, 1e-12);
  EXPECT_TRUE(std::isnan(score.errors.velocity));
  EXPECT_NEAR(score.nds, (5 * 0.5 + 0 + 0.5 + 0.5) / 8, 1e-12);
  score = nuscenes(scan, true);
  EXPECT_NEAR(score.errors.velocity, 5, 1e-12);
  EXPECT_NEAR(score.nds, (5 * 0.5 + 0 + 0.5 + 0.5 + 0) / 9, 1e-12);
}

TEST(NuScenesScore, AFalseAlarmAbove) {
  // Precision 0 at recall 0 and 1/2 at recall 1, and r / 2 between: the sum over r = 0.21 .. 1 of r / 2 - 0.1 is
  // 0.005 * 4840 - 8 = 16.2, over 90 steps and 0.9.
  const ScoredScan scan{{object("car", 30, 0, 0.9F), object("car", 10, 0, 0.8F)}, {object("car", 10, 0)}};
  EXPECT_NEAR(nuscenes(scan).mean_ap, 0.2, 1e-12);
  // A second detection of the same object is such an alarm, too, but below: precision 1 at recall 1, then 1/2 there.
  const ScoredScan twice{{object("car", 10, 0, 0.8F), object("car", 10, 0, 0.7F)}, {object("car", 10, 0)}};
  EXPECT_NEAR(nuscenes(twice).mean_ap, (1 - 0.1 - 0.5 / 90) / 0.9, 1e-12);
}

TEST(NuScenesScore, OfEqualScoresTheLastIsFirst) {
  const ScoredScan scan{{object("car", 10.25F, 0, 0.5F), object("car", 10.75F, 0, 0.5F)}, {object("car", 10, 0)}};
  EXPECT_NEAR(nuscenes(scan).errors.translation, 0.75, 1e-12);
}

TEST(NuScenesScore, TheNearestObjectThatIsLeft) {
  // 0.9 takes the truth at 10, 0.8 the other, 1 m away; errors 0 and 1. Over the recalls 0.11 .. 1 the score falls from
  // 0.9 (to recall 0.5) to 0.8, and with it the mean rises from 0 to 0.5 on a line: sum 0.5 * (1 + .. + 50) / 50 / 90.
  ScoredScan scan{{object("car", 10, 0, 0.9F), object("car", 10, 0, 0.8F)},
                  {object("car", 11, 0), object("car", 10, 0)}};
  EXPECT_NEAR(nuscenes(scan).errors.translation, 0.5 * 25.5 / 90, 1e-6);
  std::swap(scan.truths[0], scan.truths[1]);
  EXPECT_NEAR(nuscenes(scan).errors.translation, 0.5 * 25.5 / 90, 1e-6);
}

TEST(NuScenesScore, HeadingsAndVelocitiesOfClassesThatHaveNone) {
  const auto turned = [](const std::string& type) {
    ScoredScan scan{{object(type, 10, 0, 1)}, {object(type, 10, 0)}};
    scan.predictions[0].box.yaw = kPi - 0.25F;
    return nuscenes(scan, true).classes.at(0).errors;
  };
  EXPECT_NEAR(turned("bus").orientation, kPi - 0.25, 1e-6);
  EXPECT_NEAR(turned("barrier").orientation, 0.25, 1e-6);
  EXPECT_TRUE(std::isnan(turned("traffic_cone").orientation));
  EXPECT_EQ(turned("bus").velocity, 0);
  EXPECT_TRUE(std::isnan(turned("barrier").velocity));
  EXPECT_TRUE(std::isnan(turned("traffic_cone").velocity));
}

TEST(NuScenesScore, RangesAndPoints) {
  const auto truths = [](const std::string& type, float ahead, std::vector<std::int64_t> points = {}) {
    const ScoredScan scan{{}, {object(type, ahead, 0)}, std::move(points)};
    return nuscenes(scan).classes.size();
  };
  EXPECT_EQ(truths("van", 49), 1U);
  EXPECT_EQ(truths("car", 50), 0U);
  EXPECT_EQ(truths("Cyclist", 39), 1U);
  EXPECT_EQ(truths("pedestrian", 41), 0U);
  EXPECT_EQ(truths("traffic_cone", 31), 0U);
  EXPECT_EQ(truths("car", 10, {1}), 1U);
  EXPECT_EQ(truths("car", 10, {0}), 0U);
  EXPECT_EQ(truths("tram", 10), 0U);
  const ScoredScan near{{}, {object("car", 10, 0)}};
  EXPECT_TRUE(score_nuscenes({&near, 1}, false, 10).classes.empty());
}

TEST(DetectionScore, PointsInBoxes) {
  // Turned by 90 degrees: 4 m along y, 2 m along x, from z = 0 to 1.
  const LabelledBox box{.type = "Car", .box = {10, 5, 0.5F, 4, 2, 1, kPi / 2}};
  const LabelledBox all{.type = "Car", .box = {0, 0, 0, 100, 100, 100, 1}};
  const Array points = Array::from(std::vector<float>{10,   5, 0.5F,  0, 10.9F, 6.9F, 0.1F, 0,  //
                                                      12,   5, 0.5F,  0, 10,    7.1F, 0.5F, 0,  //
                                                      10,   5, -0.1F, 0, 10,    5,    1,    9,  //
                                                      kNaN, 5, 0.5F,  0},
                                   {7, 4});
  EXPECT_EQ(points_in_boxes(points, std::vector{box, all}), (std::vector<std::int64_t>{3, 6}));
  // By 45 degrees: 1.7 m along the heading are inside, across it are not.
  const LabelledBox diagonal{.type = "Car", .box = {0, 0, 0, 4, 2, 1, kPi / 4}};
  const Array along = Array::from(std::vector<float>{1.2F, 1.2F, 0}, {1, 3});
  const Array across = Array::from(std::vector<float>{1.2F, -1.2F, 0}, {1, 3});
  EXPECT_EQ(points_in_boxes(along, std::vector{diagonal}), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(points_in_boxes(across, std::vector{diagonal}), (std::vector<std::int64_t>{0}));
  EXPECT_THROW(points_in_boxes(Array::from(std::vector<float>(6), {3, 2}), {}), InvalidArgument);
}

}  // namespace
}  // namespace voxshift
