// Coordinates: voxelising a scan with its sort, and the kernel maps of its levels, as single ops that allocate their
// results. The limit is the bandwidth of copies; the work is the bytes that must be read and written at least.
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/tasks/profile.h>
#include <voxshift/tensor/coordinate_cache.h>
#include <voxshift/tensor/runtime.h>

#include <cmath>

#include "input.h"
#include "limits.h"
#include "measure.h"
#include "plain.h"

namespace voxshift::bench {
namespace {

void check_voxels(const Array& points, const VoxelizeOptions& options, const Voxels& voxels) {
  const auto cell = [&](std::int64_t point, std::int64_t axis) {
    return std::nearbyint(points.data<float>()[4 * point + axis] / options.voxel_size.each[0]);
  };
  std::vector<double> found, expected;
  for (std::int64_t i = 0; i < points.dim(0); ++i) {
    const std::int32_t row = voxels.inverse.data<std::int32_t>()[i];
    for (std::int64_t axis = 0; axis < 3; ++axis) {
      found.push_back(voxels.tensor.coords().data<std::int32_t>()[4 * row + axis + 1]);
      expected.push_back(cell(i, axis));
    }
  }
  check_close("voxelize", found, expected, 0);
}

// The mean of the points of every voxel.
void check_means(const Array& points, const Voxels& voxels) {
  std::vector<double> sums(static_cast<std::size_t>(4 * voxels.tensor.size())), counts(sums.size() / 4);
  for (std::int64_t i = 0; i < points.dim(0); ++i) {
    const auto row = static_cast<std::size_t>(voxels.inverse.data<std::int32_t>()[i]);
    ++counts[row];
    for (std::size_t c = 0; c < 4; ++c) sums[4 * row + c] += points.data<float>()[4 * i + static_cast<std::int64_t>(c)];
  }
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] /= counts[i / 4];
  const Array& features = voxels.tensor.features();
  check_close("voxelize, means", {features.data<float>(), features.data<float>() + features.count()}, sums, 1e-6);
}

// The 3^3 pairs of every 97th output row.
void check_map(const SparseTensor& x, const KernelMap& map) {
  const RowOfCoordinate rows(x.coords());
  std::vector<double> found(static_cast<std::size_t>(27 * x.size()), -1), expected = found;
  const Array pairs = map.pairs();
  for (std::int64_t p = 0; p < pairs.dim(0); ++p) {
    const std::int32_t* pair = pairs.data<std::int32_t>() + 3 * p;
    if (pair[2] % 97 == 0) found[static_cast<std::size_t>(27 * std::int64_t{pair[2]} + pair[0])] = pair[1];
  }
  for (std::int64_t row = 0; row < x.size(); row += 97)
    for (int k = 0; k < 27; ++k)
      expected[static_cast<std::size_t>(27 * row + k)] = static_cast<double>(rows.neighbour(row, k));
  check_close("kernel map", found, expected, 0);
}

void report(benchmark::State& state, int threads, const Measurement& result, double bytes) {
  state.counters["on_threads"] = threads;
  report_time(state, "op", result.timings[0]);
  report_fraction(state, result, result.timings[0], bytes);
}

void add_voxelize(const Options& options, const Array& points, Reduce reduce, int threads) {
  const std::string name = reduce == Reduce::kMean ? "voxelize_mean" : "voxelize";
  add_benchmark(name + "/threads:" + std::to_string(threads), [&points, repeats = options.repeats, reduce,
                                                               threads](benchmark::State& state) {
    set_num_threads(threads);
    VoxelizeOptions voxelize_options;
    voxelize_options.reduce = reduce;
    const Voxels voxels = voxelize(points, voxelize_options);
    check_voxels(points, voxelize_options, voxels);
    if (reduce == Reduce::kMean) check_means(points, voxels);
    const Measurement result = measure(
        repeats, [&] { return copy_bandwidth(threads); },
        [&] { return std::vector<double>{seconds_of([&] { voxelize(points, voxelize_options); })}; });
    // x y z remission and the inverse per point; coordinates and features per voxel
    const double bytes = 20.0 * static_cast<double>(points.dim(0)) + 32.0 * static_cast<double>(voxels.tensor.size());
    report(state, threads, result, bytes);
    return result.timings[0].median;
  });
}

void add_map(const Options& options, const SparseTensor& level, int stride, int threads) {
  const std::string name = "map_3x3x3/stride:" + std::to_string(stride) + "/threads:" + std::to_string(threads);
  add_benchmark(name, [&level, repeats = options.repeats, stride, threads](benchmark::State& state) {
    set_num_threads(threads);
    Window window;
    window.size = {3, 3, 3, 1};
    const auto fresh_map = [&] { return CoordinateCache().kernel_map(level.map(), level.map(), window); };
    check_map(level, *fresh_map());
    const double pairs = static_cast<double>(fresh_map()->pairs().dim(0));
    const Measurement result = measure(
        repeats, [&] { return copy_bandwidth(threads); }, [&] { return std::vector<double>{seconds_of(fresh_map)}; });
    state.counters["stride"] = stride;
    state.counters["voxels"] = static_cast<double>(level.size());
    state.counters["pairs"] = pairs;
    report(state, threads, result, 8 * (static_cast<double>(level.size()) + pairs));  // keys in, row pairs out
    return result.timings[0].median;
  });
}

void add(const Options& options) {
  static Array points;
  static std::vector<SparseTensor> levels;
  points = load_scan(options.scan);
  levels = levels_of(voxels_of(points, find_profile("spvnas")));
  for (const int threads : options.threads) {
    for (const Reduce reduce : {Reduce::kFirst, Reduce::kMean}) add_voxelize(options, points, reduce, threads);
    for (std::size_t i = 0; i < levels.size(); ++i) add_map(options, levels[i], 1 << i, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
