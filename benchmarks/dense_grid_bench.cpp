// PVCNN's dense grid around a whole scan: 32^3 cells of 64 channels.
#include <voxshift/point_voxel/dense_grid.h>

#include <cmath>
#include <random>

#include "single_op.h"

namespace voxshift::bench {
namespace {

constexpr std::int64_t kResolution = 32, kChannels = 64;
constexpr std::int64_t kCheckedEvery = 97;
constexpr double kTolerance = 1e-5;

std::int64_t cell_of(std::int64_t x, std::int64_t y, std::int64_t z) { return (x * kResolution + y) * kResolution + z; }

// Means per cell of the rounded coordinates.
void check_cells(const Array& coords, const Array& features, const Array& grid) {
  std::vector<double> sums(static_cast<std::size_t>(grid.count())), counts(sums.size() / kChannels);
  for (std::int64_t i = 0; i < coords.dim(0); ++i) {
    const float* place = coords.data<float>() + 3 * i;
    const auto cell =
        static_cast<std::size_t>(cell_of(std::lrint(place[0]), std::lrint(place[1]), std::lrint(place[2])));
    ++counts[cell];
    for (std::int64_t c = 0; c < kChannels; ++c)
      sums[cell * kChannels + static_cast<std::size_t>(c)] += features.data<float>()[i * kChannels + c];
  }
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] /= std::max(counts[i / kChannels], 1.0);
  check_close("voxelize_dense", {grid.data<float>(), grid.data<float>() + grid.count()}, sums, kTolerance);
}

void check_at_points(const Array& coords, const Array& grid, const Array& result) {
  std::vector<double> found, expected;
  for (std::int64_t i = 0; i < coords.dim(0); i += kCheckedEvery)
    for (std::int64_t c = 0; c < kChannels; ++c) {
      double sum = 0;
      for (std::size_t corner = 0; corner < 8; ++corner) {
        std::array<std::int64_t, 3> at{};
        double weight = 1;
        for (std::size_t axis = 0; axis < 3; ++axis) {
          const double place = coords.data<float>()[3 * i + static_cast<std::int64_t>(axis)], low = std::floor(place);
          const bool upper = corner >> (2 - axis) & 1;
          at[axis] = std::min(static_cast<std::int64_t>(low) + upper, kResolution - 1);
          weight *= upper ? place - low : 1 - (place - low);
        }
        sum += weight * grid.data<float>()[cell_of(at[0], at[1], at[2]) * kChannels + c];
      }
      found.push_back(result.data<float>()[i * kChannels + c]);
      expected.push_back(sum);
    }
  check_close("devoxelize_dense", found, expected, kTolerance);
}

void add(const Options& options) {
  static const PointSet points{load_scan(options.scan), {}};
  static const PointSet coords{dense_grid_coords(points, {kResolution}), {}};
  std::mt19937 random(1);
  static const Array features = random_array({points.points.dim(0), kChannels}, 1, random);
  static const Array grid = voxelize_dense(features, coords, kResolution);
  const double bytes =
      (12 + 4.0 * kChannels) * static_cast<double>(features.dim(0)) + 4 * static_cast<double>(grid.count());
  for (const int threads : options.threads) {
    add_op(
        options, "voxelize_dense", threads, [] { return voxelize_dense(features, coords, kResolution); },
        [](const Array& result) { check_cells(coords.points, features, result); }, [=](const Array&) { return bytes; });
    add_op(
        options, "devoxelize_dense", threads, [] { return devoxelize_dense(grid, coords); },
        [](const Array& result) { check_at_points(coords.points, grid, result); }, [=](const Array&) { return bytes; });
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
