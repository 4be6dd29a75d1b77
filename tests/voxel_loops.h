// Ops of graphs on voxels in plain loops, and outputs held against them. Features are whole numbers, so equality is.
#pragma once

#include <voxshift/engine/session.h>

#include "device_fixture.h"
#include "networks.h"

namespace voxshift {

struct PlainTensor {
  oracle::Coords coords;
  oracle::Matrix features;
};

inline PlainTensor voxels_of(const Array& coords, const Array& features) {
  PlainTensor result{coords_of(coords), oracle::Matrix(static_cast<std::size_t>(features.dim(0)),
                                                       static_cast<std::size_t>(features.dim(1)))};
  const std::vector<float> values = host<float>(features);
  std::copy(values.begin(), values.end(), result.features.values.begin());
  return result;
}
inline PlainTensor voxels_of(const SparseTensor& x) { return voxels_of(x.coords(), x.features()); }

inline oracle::Window oracle_window(const Window& w) {
  const auto values = [&](const Window::Extents& e) { return std::vector<int>(e.begin(), e.begin() + w.dims); };
  return {values(w.size), values(w.stride), values(w.dilation), values(w.pad), w.semantics == Semantics::kBounded,
          w.output_pad[0]};
}

/// The weight [K * Cin, Cout] of a node, 0 between an input and an output of different groups.
inline oracle::Matrix full_weight(const NetworkWriter& b, const std::string& node, std::size_t groups = 1) {
  const Array& given = b.parameters.at(node + ".weight");
  const std::vector<float> values = host<float>(given);
  const auto volume = static_cast<std::size_t>(given.dim(0)), in = static_cast<std::size_t>(given.dim(1)),
             out = static_cast<std::size_t>(given.dim(2));
  oracle::Matrix full(volume * in * groups, out);
  for (std::size_t k = 0; k < volume; ++k)
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o)
        full.at((k * groups + o / (out / groups)) * in + i, o) = static_cast<double>(values[(k * in + i) * out + o]);
  return full;
}

inline std::vector<double> bias_of(const NetworkWriter& b, const std::string& node) {
  const std::vector<float> values = host<float>(b.parameters.at(node + ".bias"));
  return {values.begin(), values.end()};
}

/// From the voxels of x to those of `coords` over the pairs fine = coarse * stride + offset.
inline PlainTensor convolved(const PlainTensor& x, const oracle::Coords& coords, const Window& window, bool transposed,
                             const oracle::Matrix& weight) {
  const oracle::Window w = oracle_window(window);
  const auto list =
      transposed ? oracle::swapped(oracle::pairs(coords, x.coords, w)) : oracle::pairs(x.coords, coords, w);
  return {coords, oracle::conv(x.features, list, weight, coords.size())};
}

/// Rows by coordinate.
inline std::map<oracle::Coord, std::vector<double>> by_coordinate(const PlainTensor& x) {
  std::map<oracle::Coord, std::vector<double>> rows;
  for (std::size_t i = 0; i < x.coords.size(); ++i)
    for (std::size_t c = 0; c < x.features.cols; ++c) rows[x.coords[i]].push_back(x.features.at(i, c));
  return rows;
}

inline PlainTensor in_order(const std::map<oracle::Coord, std::vector<double>>& rows, std::size_t channels) {
  PlainTensor result{{}, oracle::Matrix(rows.size(), channels)};
  for (const auto& [coord, row] : rows) {
    std::copy(row.begin(), row.end(), &result.features.values[result.coords.size() * channels]);
    result.coords.push_back(coord);
  }
  return result;
}

inline PlainTensor united(const PlainTensor& a, const PlainTensor& b) {
  auto rows = by_coordinate(a);
  for (const auto& [coord, row] : by_coordinate(b)) {
    auto& sum = rows[coord];
    sum.resize(row.size(), 0.0);
    for (std::size_t c = 0; c < row.size(); ++c) sum[c] += row[c];
  }
  return in_order(rows, a.features.cols);
}

inline void expect_equal(const Output& found, const PlainTensor& expected) {
  EXPECT_EQ(coords_of(found.coords), expected.coords);
  expect_equal(found.features, expected.features);
}

/// A graph on voxels of four channels with the output that `build` gives is refused by an error with these parts.
inline void expect_refused(const std::function<std::string(NetworkWriter&)>& build,
                           const std::vector<std::string>& parts) {
  NetworkWriter b(4);
  b.graph.outputs = {build(b)};
  expect_throw([&] { check_graph(b.graph, b.parameters); }, parts);
}

class VoxelGraphTest : public DeviceTest {
 protected:
  std::size_t rows() const { return emulated() || kSanitized ? 60 : 400; }

  Session session(const NetworkWriter& b, int threads = 2, DType dtype = DType::kF32) const {
    return Session({b.graph, b.parameters}, device(), Threads(threads), dtype);
  }
  Outputs run(const NetworkWriter& b, const SparseTensor& x, int threads = 2, DType dtype = DType::kF32) const {
    return session(b, threads, dtype).run(x.to(device()));
  }

  /// Of any number of threads the outputs are those of one, to the bit.
  Outputs run_all_threads(const NetworkWriter& b, const SparseTensor& x) const {
    Outputs first = run(b, x, 1);
    for (const int threads : thread_counts())
      for (const auto& [name, output] : run(b, x, threads)) {
        SCOPED_TRACE(name);
        expect_same_bits(output.features, first.at(name).features);
        if (output.coords.rank() != 2) continue;
        EXPECT_EQ(coords_of(output.coords), coords_of(first.at(name).coords));
      }
    return first;
  }
};

inline SparseTensor no_voxels(int dims, std::int64_t channels) {
  return {Array({0, dims + 1}, DType::kI32), Array({0, channels}, DType::kF32), {}};
}

}  // namespace voxshift
