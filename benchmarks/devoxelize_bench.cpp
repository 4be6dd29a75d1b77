// Features of voxels at points: devoxelize from stride 4 with 128 channels, as SPVCNN has it.
#include <voxshift/engine/session.h>
#include <voxshift/networks/network_builder.h>
#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/sparse_conv/conv.h>

#include <cmath>
#include <random>

#include "plain.h"
#include "single_op.h"

namespace voxshift::bench {
namespace {

constexpr int kStride = 4;
constexpr std::int64_t kChannels = 128;
constexpr std::int64_t kCheckedEvery = 97;
constexpr double kTolerance = 1e-5;

// The 8 voxels around a place in cells of their grid, z fastest, with renormalised weights.
struct Corners {
  std::array<std::int64_t, 8> rows{};
  std::array<double, 8> weights{};

  Corners(const RowOfCoordinate& voxels, std::int32_t batch, const std::array<double, 3>& place) {
    double sum = 0;
    for (std::size_t corner = 0; corner < 8; ++corner) {
      RowOfCoordinate::Coordinate coordinate{batch};
      double weight = 1;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        const double low = std::floor(place[axis]), fraction = place[axis] - low;
        const bool upper = corner >> (2 - axis) & 1;
        coordinate[axis + 1] = static_cast<std::int32_t>(low) + upper;
        weight *= upper ? fraction : 1 - fraction;
      }
      rows[corner] = voxels.find(coordinate);
      weights[corner] = rows[corner] < 0 ? 0 : weight;
      sum += weights[corner];
    }
    for (double& weight : weights) weight /= sum + 1e-8;
  }

  double mixture(const Array& features, std::int64_t channel) const {
    double sum = 0;
    for (std::size_t corner = 0; corner < 8; ++corner)
      if (rows[corner] >= 0) sum += weights[corner] * features.data<float>()[rows[corner] * features.dim(1) + channel];
    return sum;
  }
};

// A scan, its places in cells, its voxels and those of stride 4.
struct Scan {
  Array points, places;  // f32 [N, 4]: x, y, z, remission; batch, x, y, z
  SparseTensor fine, voxels;

  explicit Scan(const Array& scan)
      : points(scan), places({scan.dim(0), 4}, DType::kF32), fine(voxelize(scan).tensor), voxels(coarse(fine)) {
    const float size = VoxelizeOptions{}.voxel_size.each[0];
    for (std::int64_t i = 0; i < points.dim(0); ++i) {
      float* place = places.data<float>() + 4 * i;
      place[0] = 0;
      for (int axis = 0; axis < 3; ++axis) place[axis + 1] = points.data<float>()[4 * i + axis] / size;
    }
  }

  // Tensors of its own, without the table that finds the voxels.
  SparseTensor fresh_voxels() const { return at_stride(voxels.coords(), voxels.features()); }

 private:
  static SparseTensor at_stride(const Array& coords, const Array& features) {
    SparseTensor::Options options;
    options.stride = {kStride, kStride, kStride, 1};
    return {coords, features, options};
  }

  static SparseTensor coarse(const SparseTensor& fine) {
    std::mt19937 random(1);
    const Array coords = levels_of(fine)[2].coords();
    return at_stride(coords, random_array({coords.dim(0), kChannels}, 1, random));
  }
};

Corners corners_at(const Scan& scan, const RowOfCoordinate& rows, std::int64_t point) {
  const float* place = scan.places.data<float>() + 4 * point;
  return {rows, 0, {place[1] / kStride, place[2] / kStride, place[3] / kStride}};
}

void check_weights(const Scan& scan, const Interpolation& result) {
  const RowOfCoordinate rows(scan.voxels.coords());
  std::vector<double> found, expected, found_weights, expected_weights;
  for (std::int64_t i = 0; i < scan.places.dim(0); i += kCheckedEvery) {
    const Corners corners = corners_at(scan, rows, i);
    for (std::int64_t j = 0; j < 8; ++j) {
      found.push_back(result.indices.data<std::int32_t>()[8 * i + j]);
      expected.push_back(static_cast<double>(corners.rows[static_cast<std::size_t>(j)]));
      found_weights.push_back(result.weights.data<float>()[8 * i + j]);
      expected_weights.push_back(corners.weights[static_cast<std::size_t>(j)]);
    }
  }
  check_close("trilinear, indices", found, expected, 0);
  check_close("trilinear, weights", found_weights, expected_weights, kTolerance);
}

void check_mixtures(const Scan& scan, const Array& result) {
  const RowOfCoordinate rows(scan.voxels.coords());
  std::vector<double> found, expected;
  for (std::int64_t i = 0; i < scan.places.dim(0); i += kCheckedEvery)
    for (std::int64_t c = 0; c < kChannels; ++c) {
      found.push_back(result.data<float>()[i * kChannels + c]);
      expected.push_back(corners_at(scan, rows, i).mixture(scan.voxels.features(), c));
    }
  check_close("devoxelize", found, expected, kTolerance);
}

void add_devoxelize(const Options& options, const Scan& scan, int threads) {
  static const Interpolation interpolation = trilinear(scan.voxels, scan.places);
  const auto points = static_cast<double>(scan.places.dim(0)), voxels = static_cast<double>(scan.voxels.size());
  const double rows = 4.0 * kChannels * (points + voxels), corners = 8 * 8 * points, places = 16 * (points + voxels);
  add_op(
      options, "trilinear", threads, [&] { return trilinear(scan.fresh_voxels(), scan.places); },
      [&](const Interpolation& r) { check_weights(scan, r); }, [=](const Interpolation&) { return places + corners; });
  add_op(
      options, "interpolate", threads, [&] { return interpolate(scan.voxels.features(), interpolation); },
      [&](const Array& r) { check_mixtures(scan, r); }, [=](const Array&) { return rows + corners; });
  add_op(
      options, "devoxelize", threads, [&] { return devoxelize(scan.fresh_voxels(), scan.places); },
      [&](const Array& r) { check_mixtures(scan, r); }, [=](const Array&) { return places + rows; });
}

// SPVCNN's way to the points and back as a network of its own: two strided convolutions to the channels at stride 4,
// devoxelize at the voxels of stride 1, their mean in each coarse voxel (so that what is devoxelized is a buffer that
// the session keeps), a linear map to one channel and devoxelize again.
Network devoxelize_network() {
  NetworkBuilder net(InputKind::kVoxels, 4, 1);
  const std::string coarse = net.conv("down2", net.conv("down1", kGraphInput, 4, 2, 2), kChannels, 2, 2);
  const std::string points = net.add("devoxelize", "devoxelize", {coarse, kGraphInput});
  const std::string head = net.linear("head", net.add("voxelize", "voxelize", {points, coarse}), 1, false);
  return net.take(net.add("value", "devoxelize", {head, kGraphInput}));
}

// The network in plain loops behind its convolutions, which are conv()'s.
void check_session(const Parameters& parameters, const SparseTensor& fine, const Array& result) {
  ConvOptions halve;
  halve.kernel_size = halve.stride = {2};
  const SparseTensor coarse =
      conv(conv(fine, parameters.at("down1.kernel"), halve), parameters.at("down2.kernel"), halve);
  const RowOfCoordinate rows(coarse.coords()), fine_rows(fine.coords());
  std::vector<Corners> corners;
  std::vector<double> counts(static_cast<std::size_t>(coarse.size()));
  Array heads({coarse.size(), 1}, DType::kF32);
  std::vector<double> sums(counts.size()), expected;
  for (std::int64_t i = 0; i < fine.size(); ++i) {
    const auto [batch, x, y, z] = fine_rows.at(i);
    const Corners& around =
        corners.emplace_back(rows, batch, std::array{x / double{kStride}, y / double{kStride}, z / double{kStride}});
    const auto parent = static_cast<std::size_t>(around.rows[0]);
    for (std::int64_t c = 0; c < kChannels; ++c)
      sums[parent] += around.mixture(coarse.features(), c) * parameters.at("head.weight").data<float>()[c];
    ++counts[parent];
  }
  for (std::size_t i = 0; i < sums.size(); ++i) heads.data<float>()[i] = static_cast<float>(sums[i] / counts[i]);
  for (const Corners& around : corners) expected.push_back(around.mixture(heads, 0));
  check_close("devoxelize in a session", {result.data<float>(), result.data<float>() + result.count()}, expected,
              kTolerance);
}

void add_session(const Options& options, const Scan& scan, int threads) {
  add_benchmark("devoxelize_in_session/threads:" + std::to_string(threads),
                [&scan, repeats = options.repeats, threads](benchmark::State& state) {
                  const Network network = devoxelize_network();
                  Session session(network, Device::cpu(), threads);
                  check_session(network.parameters, scan.fine, session.forward(scan.fine));
                  const auto seconds = [&] {
                    session.forward(scan.fine);
                    const std::vector<LayerReport>& layers = session.report().layers;
                    return std::find_if(layers.begin(), layers.end(),
                                        [](const LayerReport& layer) { return layer.kind == "interpolate"; })
                        ->seconds;
                  };
                  const Measurement result = measure(
                      repeats, [&] { return copy_bandwidth(threads); }, [&] { return std::vector<double>{seconds()}; });
                  const auto rows = static_cast<double>(scan.fine.size());
                  state.counters["on_threads"] = threads;
                  report_time(state, "op", result.timings[0]);
                  report_fraction(state, result, result.timings[0],
                                  4.0 * kChannels * (rows + static_cast<double>(scan.voxels.size())) + 64 * rows);
                  return result.timings[0].median;
                });
}

void add(const Options& options) {
  static const Scan scan(load_scan(options.scan));
  for (const int threads : options.threads) {
    add_devoxelize(options, scan, threads);
    add_session(options, scan, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
