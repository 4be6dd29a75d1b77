// Overlap and suppression of boxes against definitions in double, on every device.
#include <gtest/gtest.h>
#include <voxshift/detection/boxes.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "device_fixture.h"

namespace voxshift {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Box = std::array<float, 7>;
using Rows = std::vector<std::int32_t>;

struct Point {
  double x, y;
};

std::array<Point, 4> corners_of(const Box& box) {
  const double c = std::cos(double{box[6]}), s = std::sin(double{box[6]});
  std::array<Point, 4> corners{};
  for (std::size_t i = 0; i < 4; ++i) {
    const double l = (i < 2 ? 0.5 : -0.5) * box[3], w = (i == 0 || i == 3 ? 0.5 : -0.5) * box[4];
    corners[i] = {box[0] + c * l - s * w, box[1] + s * l + c * w};
  }
  return corners;
}

// The lowest and highest y of a rectangle at x.
std::array<double, 2> span_at(const std::array<Point, 4>& corners, double x) {
  std::array<double, 2> span{kInf, -kInf};
  for (std::size_t i = 0; i < 4; ++i) {
    const Point a = corners[i], b = corners[(i + 1) % 4];
    if (x < std::min(a.x, b.x) || x > std::max(a.x, b.x) || a.x == b.x) continue;
    const double y = a.y + (x - a.x) / (b.x - a.x) * (b.y - a.y);
    span = {std::min(span[0], y), std::max(span[1], y)};
  }
  return span;
}

// The area common to two rectangles as an integral over x: the length common to both slices is linear between the
// corners and the places where sides cross, so the middle of each piece gives its area. No polygon is cut.
double common_area(const Box& first, const Box& second) {
  const auto a = corners_of(first), b = corners_of(second);
  std::vector<double> places;
  for (std::size_t i = 0; i < 4; ++i) {
    places.insert(places.end(), {a[i].x, b[i].x});
    for (std::size_t j = 0; j < 4; ++j) {
      const Point p = a[i], q = a[(i + 1) % 4], r = b[j], t = b[(j + 1) % 4];
      const double cross = (q.x - p.x) * (t.y - r.y) - (q.y - p.y) * (t.x - r.x);
      if (cross != 0)
        places.push_back(p.x + ((r.x - p.x) * (t.y - r.y) - (r.y - p.y) * (t.x - r.x)) / cross * (q.x - p.x));
    }
  }
  std::sort(places.begin(), places.end());
  double area = 0;
  for (std::size_t i = 1; i < places.size(); ++i) {
    const double middle = (places[i - 1] + places[i]) / 2;
    const auto s = span_at(a, middle), t = span_at(b, middle);
    area += std::max(0.0, std::min(s[1], t[1]) - std::max(s[0], t[0])) * (places[i] - places[i - 1]);
  }
  return area;
}

double iou(const Box& a, const Box& b, bool volumes) {
  double common = common_area(a, b), both = double{a[3]} * a[4] + double{b[3]} * b[4];
  if (volumes) {
    const double top = std::min(a[2] + a[5] / 2.0, b[2] + b[5] / 2.0),
                 low = std::max(a[2] - a[5] / 2.0, b[2] - b[5] / 2.0);
    common *= std::max(0.0, top - low);
    both = double{a[3]} * a[4] * a[5] + double{b[3]} * b[4] * b[5];
  }
  return both - common > 0 ? common / (both - common) : 0;
}

class BoxesTest : public DeviceTest {
 protected:
  Array boxes(const std::vector<Box>& given) const {
    Array all({static_cast<std::int64_t>(given.size()), 7}, DType::kF32);
    for (std::size_t i = 0; i < given.size(); ++i)
      std::copy(given[i].begin(), given[i].end(), all.data<float>() + 7 * i);
    return all.to(device());
  }
  Array scores(const std::vector<float>& given) const {
    return Array::from(given, {static_cast<std::int64_t>(given.size())}).to(device());
  }
  std::vector<float> overlap(const std::vector<Box>& a, const std::vector<Box>& b, bool volumes = false) const {
    const Array found = (volumes ? boxes_iou3d : boxes_iou_bev)(boxes(a), boxes(b)).to(Device::cpu());
    const auto values = found.values<float>();
    return {values.begin(), values.end()};
  }
  static Rows rows(const Array& found) {
    const Array host = found.to(Device::cpu());
    const auto values = host.values<std::int32_t>();
    return {values.begin(), values.end()};
  }
};

// Boxes within `reach` metres, of cars', trucks' and pedestrians' sizes; every sixth is the last one turned, moved or
// scaled so that both touch, lie within one another or are equal.
std::vector<Box> crowd(std::size_t count, unsigned seed, float reach = 8) {
  std::mt19937 random(seed);
  const auto uniform = [&](float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); };
  std::vector<Box> boxes;
  while (boxes.size() < count) {
    Box box{uniform(-reach, reach), uniform(-reach, reach), uniform(-1, 1), uniform(0.3f, 9),
            uniform(0.3f, 3),       uniform(0.5f, 3),       uniform(-7, 7)};
    if (boxes.size() % 6 == 5) {
      const Box last = boxes.back();
      box = last;
      const float c = std::cos(last[6]), s = std::sin(last[6]);
      switch (random() % 6) {
        case 0:
          box[0] += c * last[3], box[1] += s * last[3];
          break;  // ends touch
        case 1:
          box[3] *= 0.5f, box[4] *= 0.25f;
          break;  // within
        case 2:
          box[6] += 3.14159274f;
          break;  // turned round
        case 3:
          box[4] = 0;
          break;  // a line
        case 4:
          box[0] += c * last[3] / 4, box[1] += s * last[3] / 4;
          break;  // slid along
        default:
          break;  // equal
      }
    }
    boxes.push_back(box);
  }
  return boxes;
}

TEST_P(BoxesTest, OverlapIsThatOfSlices) {
  const std::size_t count = emulated() ? 24 : 320;  // 102,400 pairs
  const auto a = crowd(count, 1);
  auto b = crowd(count, 2);
  std::copy_n(a.begin(), count / 2, b.begin());  // each with itself and its neighbours
  for (const bool volumes : {false, true}) {
    const auto found = overlap(a, b, volumes);
    double most = 0;
    std::size_t touching = 0;
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < count; ++j) {
        const double expected = iou(a[i], b[j], volumes);
        touching += expected > 0;
        most = std::max(most, std::abs(expected - found[i * count + j]));
      }
    EXPECT_LT(most, 1e-6);
    EXPECT_GT(touching, count * count / 20);
  }
}

TEST_P(BoxesTest, KnownOverlaps) {
  const Box unit{10, -4, 1, 2, 2, 2, 0};
  const Box turned{10, -4, 1, 2, 2, 2, 0.785398163f};  // common: an octagon of 8 (sqrt 2 - 1)
  const Box right{11, -4, 1, 2, 2, 2, 0}, above{10, -4, 2, 2, 2, 2, 0}, touching{12, -4, 1, 2, 2, 2, 0};
  const auto bev = overlap({unit}, {unit, turned, right, above, touching});
  const double octagon = 8 * (std::sqrt(2.0) - 1);
  EXPECT_FLOAT_EQ(bev[0], 1);
  EXPECT_NEAR(bev[1], octagon / (8 - octagon), 1e-6);
  EXPECT_NEAR(bev[2], 1.0 / 3, 1e-7);
  EXPECT_FLOAT_EQ(bev[3], 1);
  EXPECT_EQ(bev[4], 0);
  const auto volume = overlap({unit}, {unit, turned, right, above, touching}, true);
  EXPECT_NEAR(volume[1], octagon / (8 - octagon), 1e-6);
  EXPECT_NEAR(volume[3], 1.0 / 3, 1e-7);
}

TEST_P(BoxesTest, FarAwayBoxesLoseNoDigits) {
  const Box near{0, 0, 0, 4, 2, 1, 0.5f}, near_turned{0.5f, 0.25f, 0, 4, 2, 1, 1};
  Box far = near, far_turned = near_turned;
  for (Box* box : {&far, &far_turned}) (*box)[0] += 65536, (*box)[1] -= 65536;  // exact in f32
  EXPECT_NEAR(overlap({near}, {near_turned})[0], overlap({far}, {far_turned})[0], 1e-7);
}

TEST_P(BoxesTest, WhatIsNoBoxOverlapsNothing) {
  const Box good{0, 0, 0, 2, 2, 2, 0};
  std::vector<Box> bad(5, good);
  bad[0][0] = kNan, bad[1][3] = kInf, bad[2][4] = -1, bad[3][6] = -kInf, bad[4][3] = bad[4][4] = 0;
  for (const bool volumes : {false, true}) {
    EXPECT_EQ(overlap(bad, {good}, volumes), std::vector<float>(5, 0.0f));
    EXPECT_EQ(overlap({bad[4]}, {bad[4]}, volumes), std::vector<float>{0});
  }
  EXPECT_TRUE(overlap({}, {good}).empty());
  EXPECT_TRUE(overlap({good}, {}).empty());
}

// The definition: the best box that is left, and out with what overlaps it.
template <class Conflict>
Rows greedy(const std::vector<float>& scores, const Conflict& conflict) {
  Rows order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  Rows kept;
  for (const std::int32_t i : order)
    if (std::none_of(kept.begin(), kept.end(), [&](std::int32_t k) { return conflict(k, i); })) kept.push_back(i);
  return kept;
}

std::vector<float> random_scores(std::size_t count) {
  std::mt19937 random(9);
  std::vector<float> scores(count);
  for (float& score : scores) score = static_cast<float>(random() % 64) / 64;  // many ties
  return scores;
}

TEST_P(BoxesTest, SuppressionIsGreedy) {
  const std::size_t count = emulated() ? 150 : 700;  // more than two, ten words of the masks
  const auto all = crowd(count, 3);
  const auto values = random_scores(count);
  std::vector<std::int32_t> classes(count);
  for (std::size_t i = 0; i < count; ++i) classes[i] = static_cast<std::int32_t>(i % 3);
  const auto at = [&](std::int32_t i) { return all[static_cast<std::size_t>(i)]; };
  for (const float threshold : {0.01f, 0.2f, 0.7f})
    for (const bool per_class : {false, true}) {
      NmsOptions options;
      options.most = 10000;
      if (per_class) options.classes = Array::from(classes, {static_cast<std::int64_t>(count)}).to(device());
      const Rows expected = greedy(values, [&](std::int32_t a, std::int32_t b) {
        return (!per_class || a % 3 == b % 3) && iou(at(a), at(b), false) > threshold;
      });
      const Rows found = rows(nms_bev(boxes(all), scores(values), threshold, options));
      EXPECT_EQ(found, expected) << threshold << " " << per_class;
      EXPECT_TRUE(found.size() < count || threshold > 0.5f);  // 0.7: of few boxes none
      for (const int threads : thread_counts()) {
        set_num_threads(threads);
        EXPECT_EQ(rows(nms_bev(boxes(all), scores(values), threshold, options)), expected);
      }
    }
}

TEST_P(BoxesTest, OfManyBoxesTheBestTakePart) {
  const std::size_t count = emulated() ? 400 : 100000, most = emulated() ? 200 : 16384;
  const auto all = crowd(count, 5, emulated() ? 30.0f : 400.0f);
  std::mt19937 random(6);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() % 4096) / 4096;
  NmsOptions options;
  options.candidates = options.most = static_cast<std::int64_t>(most);
  const Rows found = rows(nms_bev(boxes(all), scores(values), 0.2f, options));

  Rows best(count);
  std::iota(best.begin(), best.end(), 0);
  const auto score = [&](std::int32_t i) { return values[static_cast<std::size_t>(i)]; };
  std::stable_sort(best.begin(), best.end(), [&](std::int32_t a, std::int32_t b) { return score(a) > score(b); });
  best.resize(most);
  const auto at = [&](std::int32_t i) { return all[static_cast<std::size_t>(best[static_cast<std::size_t>(i)])]; };
  // They are in order, so that greedy() on equal scores takes them as they stand.
  Rows expected = greedy(std::vector<float>(most, 1.0f), [&](std::int32_t a, std::int32_t b) {
    const Box p = at(a), q = at(b);
    return std::hypot(p[0] - q[0], p[1] - q[1]) < 10 && iou(p, q, false) > 0.2;
  });
  for (std::int32_t& row : expected) row = best[static_cast<std::size_t>(row)];
  EXPECT_EQ(found, expected);
  EXPECT_GT(found.size(), most / 2);
  EXPECT_LT(found.size(), most);
}

TEST_P(BoxesTest, CirclesSuppressByDistance) {
  const std::size_t count = emulated() ? 40 : 300;
  const auto all = crowd(count, 4);
  const auto values = random_scores(count);
  const Rows expected = greedy(values, [&](std::int32_t a, std::int32_t b) {
    const Box &p = all[static_cast<std::size_t>(a)], &q = all[static_cast<std::size_t>(b)];
    return std::hypot(double{p[0]} - q[0], double{p[1]} - q[1]) <= 1.5;
  });
  EXPECT_EQ(rows(circle_nms(boxes(all), scores(values), 1.5f)), expected);
  EXPECT_EQ(rows(circle_nms(boxes({{0, 0, 0, 1, 1, 1, 0}, {3, 4, 0, 1, 1, 1, 0}}), scores({1, 2}), 5)), Rows{1});
}

TEST_P(BoxesTest, BestCandidatesTakePart) {
  // Ten boxes apart from each other: the three best by score, equal ones by row.
  std::vector<Box> all;
  for (int i = 0; i < 10; ++i) all.push_back({10.0f * static_cast<float>(i), 0, 0, 4, 2, 1, 0});
  const std::vector<float> values{0.5f, 0.9f, 0.1f, 0.9f, 0, 0.5f, kNan, -0.5f, 1, 0.5f};
  NmsOptions options;
  options.candidates = 4;
  EXPECT_EQ(rows(nms_bev(boxes(all), scores(values), 0.5f, options)), (Rows{8, 1, 3, 0}));
  options.most = 2;
  EXPECT_EQ(rows(nms_bev(boxes(all), scores(values), 0.5f, options)), (Rows{8, 1}));
  EXPECT_EQ(rows(nms_bev(boxes(all), scores(values), 0.5f)), (Rows{8, 1, 3, 0, 5, 9, 2, 4}));  // not NaN, not below 0
  EXPECT_TRUE(rows(nms_bev(boxes({}), scores({}), 0.5f)).empty());
  auto broken = all;
  broken[8][1] = kInf, broken[1][3] = -1;
  options.most = 4;
  EXPECT_EQ(rows(nms_bev(boxes(broken), scores(values), 0.5f, options)), (Rows{3, 0}));
  options.classes = Array::from(Rows{0, 0, 0, -1, 0, 0, 0, 0, 0, 0}, {10}).to(device());
  EXPECT_EQ(rows(nms_bev(boxes(all), scores(values), 0.5f, options)), (Rows{8, 1, 0}));
}

TEST_P(BoxesTest, RefusesOtherShapes) {
  const Array box = boxes({{0, 0, 0, 1, 1, 1, 0}}), score = scores({1});
  EXPECT_THROW(boxes_iou_bev(score, box), InvalidArgument);
  EXPECT_THROW(boxes_iou3d(box, Array({1, 6}, DType::kF32, device())), InvalidArgument);
  EXPECT_THROW(nms_bev(box, scores({1, 2}), 0.5f), InvalidArgument);
  EXPECT_THROW(nms_bev(box, score, kNan), InvalidArgument);
  EXPECT_THROW(nms_bev(box, score, 1.5f), InvalidArgument);
  EXPECT_THROW(circle_nms(box, score, -1), InvalidArgument);
  NmsOptions options;
  options.candidates = 16385;
  EXPECT_THROW(nms_bev(box, score, 0.5f, options), InvalidArgument);
  options = {};
  options.most = 0;
  EXPECT_THROW(nms_bev(box, score, 0.5f, options), InvalidArgument);
  options = {};
  options.classes = score;
  EXPECT_THROW(nms_bev(box, score, 0.5f, options), InvalidArgument);
}

VOXSHIFT_FOR_EACH_DEVICE(BoxesTest);

}  // namespace
}  // namespace voxshift
