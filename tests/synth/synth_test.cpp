// The simulated LiDAR: repeatable, labelled, and as dense as a real scan.
#include <gtest/gtest.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tasks/classes.h>

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

// Streets differ: some are narrow and closed, some open. On average they are as dense as the real scan near the sensor,
// and somewhat less so far away, which coarse voxels show.
TEST(SynthLidar, AsDenseAsARealScanOnAverage) {
  constexpr std::uint64_t kScans = 6;
  std::array<double, 4> voxels{};
  double points = 0;
  for (std::uint64_t seed = 0; seed < kScans; ++seed) {
    const SynthScan scan = synth_lidar(seed);
    const auto counts = voxels_per_stride(scan.points);
    for (std::size_t level = 0; level < voxels.size(); ++level) voxels[level] += counts[level] / kScans;
    points += static_cast<double>(scan.labels.size()) / kScans;
  }
  EXPECT_NEAR(points, kRealPoints, 0.1 * kRealPoints);
  EXPECT_NEAR(points / voxels[0], kRealPointsPerVoxel, 0.2 * kRealPointsPerVoxel);
  for (std::size_t level = 0; level < voxels.size(); ++level)
    EXPECT_NEAR(voxels[level], kRealVoxels[level], 0.1 * static_cast<double>(level + 1) * kRealVoxels[level])
        << "stride " << (1 << level);
}

TEST(SynthLidar, PointsAndLabelsAreThoseOfALidar) {
  std::set<std::uint32_t> known{99};  // things without a class
  for (const ClassInfo& info : semantic_kitti_classes()) known.insert(info.raw_id);
  std::map<std::uint32_t, double> share;
  constexpr std::uint64_t kScans = 6;
  for (std::uint64_t seed = 0; seed < kScans; ++seed) {
    const SynthScan scan = synth_lidar(seed);
    ASSERT_EQ(scan.points.size(), 4 * scan.labels.size());
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      const float* p = scan.points.data() + 4 * i;
      const double range = std::hypot(p[0], p[1], p[2]);
      ASSERT_TRUE(std::isfinite(range) && range > 1 && range < 81) << range;
      const double elevation = std::asin(p[2] / range) * 180 / M_PI;
      ASSERT_TRUE(elevation > -25 && elevation < 3) << elevation;
      ASSERT_TRUE(p[3] >= 0 && p[3] <= 1) << p[3];
      ASSERT_TRUE(known.contains(scan.labels[i])) << scan.labels[i];
      share[scan.labels[i]] += 1 / static_cast<double>(kScans * scan.labels.size());
    }
  }
  for (const std::uint32_t id : {10u, 40u, 48u, 50u, 51u, 70u, 71u, 72u, 80u}) EXPECT_GT(share[id], 0.001) << id;
  for (const std::uint32_t id : {18u, 30u, 31u, 44u, 81u}) EXPECT_GT(share[id], 0) << id;
  for (const auto& [id, part] : share) EXPECT_LT(part, 0.5) << id;
}

// The road under the car: 1.73 m below the sensor, but for its slope and the noise.
TEST(SynthLidar, TheSensorStandsOverTheRoad) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const SynthScan scan = synth_lidar(seed);
    int near = 0;
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      const float* p = scan.points.data() + 4 * i;
      if (scan.labels[i] != 40 || std::hypot(p[0], p[1]) > 6) continue;
      ++near;
      ASSERT_NEAR(p[2], -1.73, 0.45) << "seed " << seed;
    }
    EXPECT_GT(near, 1000) << "seed " << seed;
  }
}

// Sensors of 64 and 32 beams; mean heights over the road that differ.
TEST(SynthLidar, SensorsVaryOnDemand) {
  std::set<int> heights;
  bool wide = false;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const SynthScan scan = synth_lidar(seed, {true});
    double sum = 0, highest = -90;
    int near = 0;
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      const float* p = scan.points.data() + 4 * i;
      highest = std::max(highest, std::asin(p[2] / std::hypot(p[0], p[1], p[2])) * 180 / M_PI);
      if (scan.labels[i] != 40 || std::hypot(p[0], p[1]) > 6) continue;
      sum += p[2];
      ++near;
    }
    if (near > 0) heights.insert(static_cast<int>(std::lround(20 * sum / near)));  // of 5 cm
    wide = wide || highest > 4;                                                    // above KITTI's uppermost beam
  }
  EXPECT_GT(heights.size(), 3u);
  EXPECT_TRUE(wide);
}

}  // namespace
}  // namespace voxshift
