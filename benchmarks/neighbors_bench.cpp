// Search and sampling on a scan, and on a crowd that a fixed grid would not part: 100,000 points within a millimetre
// beside 20,000 that lie up to 100 m away. Trees are built by each call.
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>

#include <random>

#include "plain_points.h"
#include "single_op.h"

namespace voxshift::bench {
namespace {

constexpr std::int64_t kNearest = 16, kAtMost = 32, kInBall = 32, kSamples = 4096;
constexpr float kRadius = 0.2f, kBallRadius = 0.4f;  // metres
constexpr std::int64_t kCheckedEvery = 997;
constexpr std::int64_t kCheckedSamples = 256;  // the first samples do not depend on how many there are

struct Cloud {
  std::string name;
  PointSet points, centers;

  double count() const { return static_cast<double>(points.points.dim(0)); }
  double center_count() const { return static_cast<double>(centers.points.dim(0)); }
};

Array rows_at(const Array& points, const std::vector<std::int64_t>& rows) {
  Array result({static_cast<std::int64_t>(rows.size()), 3}, DType::kF32);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(points.data<float>() + rows[i] * points.dim(1), 3, result.data<float>() + 3 * i);
  return result;
}

// The scan, with the centers that a set abstraction would take.
Cloud scan_cloud(const Array& points) {
  const Array samples = furthest_point_sample({points, {}}, kSamples);
  const std::span<const std::int32_t> rows = samples.values<std::int32_t>();
  return {"scan", {points, {}}, {rows_at(points, {rows.begin(), rows.end()}), {}}};
}

// Centers are every 30th point: five of six in the crowd.
Cloud crowded_cloud() {
  constexpr std::int64_t kCrowd = 100'000, kSpread = 20'000;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> crowd(5, 5.001f), spread(-100, 100);
  std::vector<std::array<float, 3>> points(kCrowd + kSpread);
  for (std::size_t i = 0; i < points.size(); ++i)
    for (float& x : points[i]) x = i < kCrowd ? crowd(random) : spread(random);
  std::shuffle(points.begin(), points.end(), random);
  Array array({kCrowd + kSpread, 3}, DType::kF32);
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < points.size(); ++i) {
    std::copy_n(points[i].data(), 3, array.data<float>() + 3 * i);
    if (i % 30 == 0) rows.push_back(static_cast<std::int64_t>(i));
  }
  return {"crowded", {array, {}}, {rows_at(array, rows), {}}};
}

void check_rows(const std::string& op, std::int64_t query, std::span<const std::int32_t> found,
                const std::vector<PlainPoints::Neighbor>& expected) {
  check<Error>(found.size() >= expected.size(), op, ": query ", query, " found ", found.size(), " rows, expected ",
               expected.size());
  for (std::size_t j = 0; j < found.size(); ++j) {
    const std::int32_t row = j < expected.size() ? expected[j].second : -1;
    check<Error>(found[j] == row, op, ": neighbour ", j, " of query ", query, " is ", found[j], ", expected ", row);
  }
}

void check_nearest(const Cloud& cloud, const NearestNeighbors& result, float radius2) {
  const PlainPoints plain(cloud.points.points);
  const auto k = static_cast<std::size_t>(result.indices.dim(1));
  for (std::int64_t i = 0; i < plain.count(); i += kCheckedEvery)
    check_rows("nearest", i, result.indices.values<std::int32_t>().subspan(static_cast<std::size_t>(i) * k, k),
               plain.nearest(plain.at(i), k, radius2));
}

void check_within(const Cloud& cloud, const RaggedNeighbors& result) {
  const PlainPoints plain(cloud.points.points);
  const std::int64_t* splits = result.row_splits.data<std::int64_t>();
  for (std::int64_t i = 0; i < plain.count(); i += kCheckedEvery)
    check_rows("fixed_radius_search", i,
               result.indices.values<std::int32_t>().subspan(static_cast<std::size_t>(splits[i]),
                                                             static_cast<std::size_t>(splits[i + 1] - splits[i])),
               plain.nearest(plain.at(i), static_cast<std::size_t>(plain.count()), kRadius * kRadius));
}

// The first neighbours by row with d^2 < radius^2, filled up with the first of all: every center is a point.
void check_ball(const Cloud& cloud, const Array& result) {
  const PlainPoints plain(cloud.points.points), centers(cloud.centers.points);
  const float below = std::nextafter(kBallRadius * kBallRadius, 0.0f);
  for (std::int64_t i = 0; i < centers.count(); i += 97) {
    std::vector<PlainPoints::Neighbor> expected = plain.within(centers.at(i), below);
    expected.resize(kInBall, expected.at(0));
    check_rows("ball_query", i, result.values<std::int32_t>().subspan(static_cast<std::size_t>(i * kInBall), kInBall),
               expected);
  }
}

void check_furthest(const Cloud& cloud, const Array& result) {
  const std::vector<std::int32_t> expected = PlainPoints(cloud.points.points).furthest(kCheckedSamples);
  check<Error>(std::equal(expected.begin(), expected.end(), result.data<std::int32_t>()),
               "furthest_point_sample: the first ", kCheckedSamples, " samples are not those of the plain loops");
}

void check_three(const Cloud& cloud, const Interpolation& result) {
  const PlainPoints plain(cloud.points.points), centers(cloud.centers.points);
  for (std::int64_t i = 0; i < plain.count(); i += kCheckedEvery)
    check_rows("three_nearest", i, result.indices.values<std::int32_t>().subspan(static_cast<std::size_t>(3 * i), 3),
               centers.nearest(plain.at(i), 3));
}

// Bytes at least: 12 per point and center, 4 per index, distance and weight.
void add_nearest(const Options& options, const Cloud& cloud, int threads) {
  add_op(
      options, "knn_16/" + cloud.name, threads, [&] { return knn_search(cloud.points, cloud.points, kNearest); },
      [&](const NearestNeighbors& r) { check_nearest(cloud, r, std::numeric_limits<float>::infinity()); },
      [&](const NearestNeighbors& r) { return 12 * cloud.count() + 8 * static_cast<double>(r.indices.count()); });
}

void add_radius(const Options& options, const Cloud& cloud, int threads) {
  add_op(
      options, "fixed_radius/" + cloud.name, threads,
      [&] { return fixed_radius_search(cloud.points, cloud.points, kRadius); },
      [&](const RaggedNeighbors& r) { check_within(cloud, r); },
      [&](const RaggedNeighbors& r) { return 20 * cloud.count() + 8 * static_cast<double>(r.indices.count()); });
  add_op(
      options, "hybrid_32/" + cloud.name, threads,
      [&] { return hybrid_search(cloud.points, cloud.points, kRadius, kAtMost); },
      [&](const NearestNeighbors& r) { check_nearest(cloud, r, kRadius * kRadius); },
      [&](const NearestNeighbors& r) { return 12 * cloud.count() + 8 * static_cast<double>(r.indices.count()); });
}

void add_centers(const Options& options, const Cloud& cloud, int threads) {
  add_op(
      options, "ball_query_32/" + cloud.name, threads,
      [&] { return ball_query(cloud.points, cloud.centers, kBallRadius, kInBall); },
      [&](const Array& r) { check_ball(cloud, r); },
      [&](const Array& r) { return 12 * (cloud.count() + cloud.center_count()) + 4 * static_cast<double>(r.count()); });
  add_op(
      options, "furthest_4096/" + cloud.name, threads, [&] { return furthest_point_sample(cloud.points, kSamples); },
      [&](const Array& r) { check_furthest(cloud, r); },
      [&](const Array& r) { return 12 * cloud.count() + 4 * static_cast<double>(r.count()); });
}

void add_three(const Options& options, const Cloud& cloud, int threads) {
  add_op(
      options, "three_nearest/" + cloud.name, threads, [&] { return three_nearest(cloud.points, cloud.centers); },
      [&](const Interpolation& r) { check_three(cloud, r); },
      [&](const Interpolation&) { return 36 * cloud.count() + 12 * cloud.center_count(); });
}

void add(const Options& options) {
  static const Cloud scan = scan_cloud(load_scan(options.scan)), crowded = crowded_cloud();
  for (const int threads : options.threads) {
    for (const Cloud* cloud : {&scan, &crowded}) {
      add_nearest(options, *cloud, threads);
      add_centers(options, *cloud, threads);
    }
    add_radius(options, scan, threads);  // in the crowd all would be neighbours of all
    add_three(options, scan, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
