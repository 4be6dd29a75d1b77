// From the bytes of a message to one with labels: what a segmenter finds of the same points.
#include <gtest/gtest.h>
#include <voxshift/ros/cloud_labeller.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tensor/error.h>

#include <cmath>
#include <limits>
#include <set>

#include "message_bytes.h"

namespace voxshift::ros {
namespace {

Model trained_model() { return Model::load(std::string(VOXSHIFT_PRETRAINED) + "/minkunet-lidar.safetensors"); }

/// Every 20th point of a simulated scan, every 7th of those without a return.
OwnedCloud scan_message(std::uint64_t seed, bool big = false) {
  const SynthScan scan = synth_lidar(seed);
  std::vector<std::vector<double>> points;
  for (std::size_t i = 0; i + 4 <= scan.points.size() && points.size() < 3000; i += 80) {
    const bool hit = points.size() % 7 != 3;
    points.push_back({hit ? scan.points[i] : std::numeric_limits<double>::quiet_NaN(), scan.points[i + 1],
                      scan.points[i + 2], scan.points[i + 3]});
  }
  points.resize(points.size() / 2 * 2);
  const std::vector<PointField> fields{
      {"x", 0, kFloat32}, {"y", 4, kFloat32}, {"z", 8, kFloat32}, {"intensity", 16, kFloat32}};
  return cloud_of(fields, points, 24, big, 2, 8);
}

std::vector<std::uint8_t> expected_labels(const Model& model, const OwnedCloud& cloud) {
  const PointCloud2 message = cloud.message();
  std::vector<float> points;
  std::vector<std::size_t> rows;
  const std::size_t total = std::size_t{message.height} * message.width;
  for (std::size_t i = 0; i < total; ++i) {
    const std::size_t at = place_of(message, i);
    if (number_at<float>(message, at) != number_at<float>(message, at)) continue;
    for (const std::size_t offset : {0, 4, 8, 16}) points.push_back(number_at<float>(message, at + offset));
    rows.push_back(i);
  }
  const Array array = Array::from(points, {static_cast<std::int64_t>(rows.size()), 4});
  const Segmentation found = Segmenter(model).segment(array);
  std::vector<std::uint8_t> labels(total, 255);
  for (std::size_t k = 0; k < rows.size(); ++k) labels[rows[k]] = found.labels.data<std::uint8_t>()[k];
  return labels;
}

TEST(CloudLabeller, LabelsAreThoseOfTheSamePoints) {
  const Model model = trained_model();
  CloudLabeller labeller(model);
  for (const bool big : {false, true}) {
    const OwnedCloud cloud = scan_message(big ? 2 : 1, big);
    const PointCloud2& labelled = labeller.label(cloud.message());
    const std::vector<std::uint8_t> expected = expected_labels(model, cloud);
    ASSERT_EQ(labelled.points(), static_cast<std::int64_t>(expected.size()));
    ASSERT_GT(expected.size(), 2000U);
    ASSERT_GT(std::set(expected.begin(), expected.end()).size(), 5U);
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_EQ(number_at<std::uint8_t>(labelled, place_of(labelled, i) + 24), expected[i]) << i;
    EXPECT_EQ(labeller.points().dropped(), std::ranges::count(expected, 255));
    EXPECT_GT(labeller.report().points, 0);
  }
}

TEST(CloudLabeller, ASensorFarFromZeroIsFoundInItsPoints) {
  OwnedCloud cloud = scan_message(1);
  const PointCloud2 near = cloud.message();
  const double utm[] = {412345.5, 5412345.25, 0};
  std::vector<std::vector<double>> points;
  for (std::size_t i = 0; i < std::size_t{near.height} * near.width; ++i) {
    const std::size_t at = place_of(near, i);
    if (number_at<float>(near, at) != number_at<float>(near, at)) continue;
    points.emplace_back();
    for (const std::size_t axis : {0, 1, 2}) points.back().push_back(utm[axis] + number_at<float>(near, at + 4 * axis));
    points.back().push_back(number_at<float>(near, at + 16));
  }
  PrepareOptions options;  // the first point in whole hundreds
  options.frame = {100 * std::round(points[0][0] / 100), 100 * std::round(points[0][1] / 100), 0};
  std::vector<float> shifted;
  for (const std::vector<double>& point : points)
    for (std::size_t c = 0; c < 4; ++c)
      shifted.push_back(static_cast<float>(point[c] - (c < 3 ? options.frame[c] : 0)));
  const OwnedCloud far =
      cloud_of({{"x", 0, kFloat64}, {"y", 8, kFloat64}, {"z", 16, kFloat64}, {"intensity", 24, kFloat32}}, points, 28);
  const Model model = trained_model();
  CloudLabeller labeller(model);
  const PointCloud2& labelled = labeller.label(far.message());
  ASSERT_EQ(labeller.points().origin(), options.frame);
  const Array array = Array::from(shifted, {static_cast<std::int64_t>(points.size()), 4});
  Segmenter segmenter(model);
  const Array expected = segmenter.segment(array, false, options).labels;
  for (std::size_t i = 0; i < points.size(); ++i)
    ASSERT_EQ(number_at<std::uint8_t>(labelled, 28 + 29 * i), expected.data<std::uint8_t>()[i]) << i;
  EXPECT_FALSE(labeller.report().notes.empty());
  EXPECT_EQ(labeller.report().notes, segmenter.report().notes);
}

TEST(CloudLabeller, ABadMessageIsNotTheLast) {
  const Model model = trained_model();
  CloudLabeller labeller(model);
  OwnedCloud bad = scan_message(1);
  bad.bytes.pop_back();
  EXPECT_THROW(labeller.label(bad.message()), InvalidArgument);
  const OwnedCloud good = scan_message(2);
  const PointCloud2& labelled = labeller.label(good.message());
  const std::vector<std::uint8_t> expected = expected_labels(model, good);
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(number_at<std::uint8_t>(labelled, place_of(labelled, i) + 24), expected[i]) << i;
}

TEST(CloudLabeller, AMessageWithoutPointsHasNone) {
  CloudLabeller labeller(trained_model());
  OwnedCloud cloud = scan_message(1);
  cloud.height = 1;
  cloud.width = cloud.row_step = 0;
  cloud.bytes.clear();
  EXPECT_EQ(labeller.label(cloud.message()).points(), 0);
}

}  // namespace
}  // namespace voxshift::ros
