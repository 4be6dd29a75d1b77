// The simulated LiDAR: repeatable, labelled, and as dense as a real scan.
#include <gtest/gtest.h>
#include <voxshift/models/classes.h>
#include <voxshift/synth/lidar.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

namespace voxshift {
namespace {

// The first scan of SemanticKITTI's sequence 00 that spvnas ships (123,389 points), cells of 0.05 m to nearest even,
// counted from the lowest, halved per stride: voxels at strides 1, 2, 4, 8, and points per voxel at stride 1.
constexpr std::array<double, 4> kRealVoxels{94625, 68931, 42166, 21525};
constexpr double kRealPointsPerVoxel = 1.30, kRealPoints = 123389;
constexpr double kShare = 0.2;

std::array<double, 4> voxels_per_stride(const std::vector<float>& points) {
  std::vector<std::array<long, 3>> cells;
  std::array<long, 3> lowest{};
  for (std::size_t i = 0; i < points.size(); i += 4) {
    std::array<long, 3> cell{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      cell[axis] = std::lrint(points[i + axis] / 0.05f);
      lowest[axis] = cells.empty() ? cell[axis] : std::min(lowest[axis], cell[axis]);
    }
    cells.push_back(cell);
  }
  std::array<double, 4> counts{};
  for (std::size_t level = 0; level < counts.size(); ++level) {
    std::vector<std::array<long, 3>> coarse = cells;
    for (auto& cell : coarse)
      for (std::size_t axis = 0; axis < 3; ++axis) cell[axis] = (cell[axis] - lowest[axis]) >> level;
    std::sort(coarse.begin(), coarse.end());
    counts[level] = static_cast<double>(std::unique(coarse.begin(), coarse.end()) - coarse.begin());
  }
  return counts;
}

TEST(SynthLidar, SameSeedSameBits) {
  const SynthScan a = synth_lidar(3), b = synth_lidar(3), c = synth_lidar(4);
  EXPECT_EQ(a.labels, b.labels);
  ASSERT_EQ(a.points.size(), b.points.size());
  EXPECT_EQ(std::memcmp(a.points.data(), b.points.data(), a.points.size() * sizeof(float)), 0);
  EXPECT_NE(a.points, c.points);
}

TEST(SynthLidar, AsDenseAsARealScan) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    SCOPED_TRACE(seed);
    const SynthScan scan = synth_lidar(seed);
    const auto voxels = voxels_per_stride(scan.points);
    const auto points = static_cast<double>(scan.labels.size());
    for (std::size_t level = 0; level < voxels.size(); ++level)
      EXPECT_NEAR(voxels[level], kRealVoxels[level], kShare * kRealVoxels[level]) << "stride " << (1 << level);
    EXPECT_NEAR(points / voxels[0], kRealPointsPerVoxel, kShare * kRealPointsPerVoxel);
    EXPECT_NEAR(points, kRealPoints, kShare * kRealPoints);
  }
}

TEST(SynthLidar, PointsAndLabelsAreThoseOfALidar) {
  std::set<std::uint32_t> known;
  for (const ClassInfo& info : semantic_kitti_classes()) known.insert(info.raw_id);
  const SynthScan scan = synth_lidar(1);
  ASSERT_EQ(scan.points.size(), 4 * scan.labels.size());
  std::map<std::uint32_t, double> share;
  for (std::size_t i = 0; i < scan.labels.size(); ++i) {
    const float* p = scan.points.data() + 4 * i;
    const double range = std::hypot(p[0], p[1], p[2]);
    ASSERT_TRUE(std::isfinite(range) && range > 1 && range < 81) << range;
    const double elevation = std::asin(p[2] / range) * 180 / M_PI;
    ASSERT_TRUE(elevation > -25 && elevation < 3) << elevation;
    ASSERT_TRUE(p[3] >= 0 && p[3] <= 1) << p[3];
    ASSERT_TRUE(known.contains(scan.labels[i])) << scan.labels[i];
    share[scan.labels[i]] += 1 / static_cast<double>(scan.labels.size());
  }
  EXPECT_GT(share.size(), 9u);
  for (const std::uint32_t id : {40u, 50u, 70u}) EXPECT_GT(share[id], 0.02) << id;  // road, building, vegetation
  for (const auto& [id, part] : share) EXPECT_LT(part, 0.6) << id;
}

}  // namespace
}  // namespace voxshift
