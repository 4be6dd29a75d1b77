// Boxes of what stands and drives in simulated streets, against the points of the scan alone.
#include <gtest/gtest.h>
#include <voxshift/synth/lidar.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace voxshift {
namespace {

constexpr std::uint64_t kSeeds = 6;

// x y z along the heading, to the left of it and up, from the centre of the box.
std::array<double, 3> in_frame(const Box3d& box, const float* point) {
  const double dx = point[0] - box.x, dy = point[1] - box.y;
  const double c = std::cos(box.yaw), s = std::sin(box.yaw);
  return {c * dx + s * dy, -s * dx + c * dy, point[2] - box.z};
}

std::vector<std::array<double, 3>> points_of(const SynthScan& scan, std::size_t object) {
  std::vector<std::array<double, 3>> found;
  for (std::size_t i = 0; i < scan.object.size(); ++i)
    if (scan.object[i] == static_cast<int>(object))
      found.push_back(in_frame(scan.objects[object].box, scan.points.data() + 4 * i));
  return found;
}

// Calls visit(object, its points in the frame of its box) of several scans.
template <class Visit>
void visit_objects(bool vary_sensor, const Visit& visit) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const SynthScan scan = synth_lidar(seed, {vary_sensor});
    for (std::size_t i = 0; i < scan.objects.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", object " << i);
      visit(scan.objects[i], points_of(scan, i));
    }
  }
}

class SynthObjects : public ::testing::TestWithParam<bool> {};

TEST_P(SynthObjects, EachPointHasItsObject) {
  const std::map<SynthKind, std::uint32_t> label{{SynthKind::kCar, 10},
                                                 {SynthKind::kVan, 10},
                                                 {SynthKind::kTruck, 18},
                                                 {SynthKind::kPerson, 30},
                                                 {SynthKind::kBicyclist, 31}};
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const SynthScan scan = synth_lidar(seed, {GetParam()});
    ASSERT_EQ(scan.object.size(), scan.labels.size());
    std::vector<std::int64_t> points(scan.objects.size());
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      const bool listed = std::set<std::uint32_t>{10, 18, 30, 31}.contains(scan.labels[i]);
      if (!listed) {
        ASSERT_EQ(scan.object[i], -1);
        continue;
      }
      const auto object = static_cast<std::size_t>(scan.object[i]);
      ASSERT_LT(object, scan.objects.size());
      ASSERT_EQ(label.at(scan.objects[object].kind), scan.labels[i]);
      ++points[object];
    }
    for (std::size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(scan.objects[i].points, points[i]);
      EXPECT_GT(points[i], 0);
    }
  }
}

// But for mirrors: 17 cm beyond a car's sides, at the height of its belt line.
TEST_P(SynthObjects, BoxesHoldTheirPoints) {
  visit_objects(GetParam(), [](const SynthObject& object, const auto& points) {
    const Box3d& box = object.box;
    std::size_t inside = 0, mirrors = 0;
    for (const auto& [along, across, up] : points) {
      const double beyond = std::abs(across) - box.width / 2, height = up + box.height / 2;
      if (std::abs(along) < box.length / 2 + 0.1 && beyond < 0.1 && std::abs(up) < box.height / 2 + 0.1) {
        ++inside;
      } else if (object.kind == SynthKind::kCar && beyond < 0.3 && height > 0.6 && height < 1.4) {
        ++mirrors;
      }
    }
    EXPECT_GE(static_cast<double>(inside), 0.95 * static_cast<double>(points.size() - mirrors))
        << inside << " of " << points.size();
    if (points.size() > 200) {
      EXPECT_LT(mirrors, points.size() / 10);
    }
  });
}

TEST_P(SynthObjects, BoxesAreTight) {
  int many = 0;
  visit_objects(GetParam(), [&](const SynthObject& object, const auto& points) {
    if (points.size() <= 200) return;
    ++many;
    std::array<double, 3> low{99, 99, 99}, high{-99, -99, -99};
    for (const auto& point : points)
      for (std::size_t axis = 0; axis < 3; ++axis) {
        low[axis] = std::min(low[axis], point[axis]);
        high[axis] = std::max(high[axis], point[axis]);
      }
    const double length = object.box.length, width = object.box.width;
    int reached = 0;
    for (const double gap : {length / 2 - high[0], length / 2 + low[0], width / 2 - high[1], width / 2 + low[1]})
      reached += gap < 0.25 ? 1 : 0;
    EXPECT_GE(reached, 2);
  });
  EXPECT_GT(many, 20);
}

TEST_P(SynthObjects, BoxesHaveTheSizesOfTheirKinds) {
  struct Sizes {
    std::array<double, 2> length, width, height;
  };
  const std::map<SynthKind, Sizes> sizes{{SynthKind::kCar, {{3.5, 4.9}, {1.6, 1.9}, {1.2, 2.3}}},
                                         {SynthKind::kVan, {{4.3, 5.6}, {1.8, 2.1}, {1.7, 3.1}}},
                                         {SynthKind::kTruck, {{7, 12.5}, {2.0, 2.6}, {2.3, 5}}},
                                         {SynthKind::kPerson, {{0.2, 0.8}, {0.5, 0.8}, {1.5, 2.1}}},
                                         {SynthKind::kBicyclist, {{1.5, 1.9}, {0.5, 0.8}, {1.6, 2.1}}}};
  std::set<SynthKind> seen;
  visit_objects(GetParam(), [&](const SynthObject& object, const auto&) {
    const Sizes& size = sizes.at(object.kind);
    const auto within = [](double value, std::array<double, 2> range) { return value > range[0] && value < range[1]; };
    EXPECT_TRUE(within(object.box.length, size.length)) << object.box.length;
    EXPECT_TRUE(within(object.box.width, size.width)) << object.box.width;
    EXPECT_TRUE(within(object.box.height, size.height)) << object.box.height;
    EXPECT_LE(std::abs(object.box.yaw), 3.1416f);
    seen.insert(object.kind);
  });
  EXPECT_EQ(seen.size(), sizes.size());
}

// A car's highest points are those of its roof, behind the bonnet.
TEST_P(SynthObjects, CarsHeadWhereTheirBonnetIs) {
  double along = 0;
  int cars = 0;
  visit_objects(GetParam(), [&](const SynthObject& object, auto points) {
    if (object.kind != SynthKind::kCar || points.size() < 100) return;
    const auto top = points.begin() + 20;
    std::nth_element(points.begin(), top, points.end(), [](const auto& a, const auto& b) { return a[2] > b[2]; });
    double mean = 0;
    for (auto point = points.begin(); point != top; ++point) mean += (*point)[0] / 20;
    along += mean / object.box.length;
    ++cars;
  });
  ASSERT_GT(cars, 10);
  EXPECT_LT(along / cars, -0.05);
}

// Kerbs and slopes take some boxes below the ground's mean height, none far above it.
TEST_P(SynthObjects, BoxesStandOnTheGround) {
  std::vector<double> gaps;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const SynthScan scan = synth_lidar(seed, {GetParam()});
    for (const SynthObject& object : scan.objects) {
      std::vector<double> ground;
      for (std::size_t i = 0; i < scan.labels.size(); ++i) {
        const auto [along, across, up] = in_frame(object.box, scan.points.data() + 4 * i);
        const bool near =
            std::abs(along) < object.box.length / 2 + 0.3 && std::abs(across) < object.box.width / 2 + 0.3;
        if (near && std::set<std::uint32_t>{40, 44, 48, 72}.contains(scan.labels[i])) ground.push_back(up);
      }
      if (ground.size() < 20) continue;
      std::nth_element(ground.begin(), ground.begin() + static_cast<long>(ground.size() / 2), ground.end());
      gaps.push_back(-object.box.height / 2 - ground[ground.size() / 2]);
    }
  }
  ASSERT_GT(gaps.size(), 20u);
  std::sort(gaps.begin(), gaps.end());
  EXPECT_NEAR(gaps[gaps.size() / 2], 0, 0.06);
  EXPECT_LT(gaps[gaps.size() * 9 / 10], 0.06);
}

INSTANTIATE_TEST_SUITE_P(Sensors, SynthObjects, ::testing::Values(false, true),
                         [](const auto& sensor) { return sensor.param ? "varied" : "fixed"; });

TEST(SynthObjectTypes, AreThoseOfKitti) {
  const std::array<SynthKind, 5> kinds{SynthKind::kCar, SynthKind::kVan, SynthKind::kTruck, SynthKind::kPerson,
                                       SynthKind::kBicyclist};
  const std::array<const char*, 5> types{"Car", "Van", "Truck", "Pedestrian", "Cyclist"};
  for (std::size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ(kitti_type(kinds[i]), types[i]);
}

}  // namespace
}  // namespace voxshift
