// Deterministic inputs: clouds whose windows hold neighbours, features, and the windows that are tried on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "oracle.h"

namespace test_data {

/// `rows` coordinates on D axes, half in batch 0, the rest in batches 1 and 3 (batch 2 has no rows). Each batch fills a
/// box to a density at which a window of 3 per axis holds 2.5 to 7 of them, as on a scan. The boxes begin at `corner`.
inline oracle::Coords cloud(int dims, std::size_t rows, unsigned seed, std::int64_t corner = -3) {
  constexpr double kDensity[] = {0.8, 0.5, 0.2, 0.07};
  std::mt19937 random(seed);
  const std::size_t share[] = {rows / 2, rows / 3, 0, rows - rows / 2 - rows / 3};
  std::set<oracle::Coord> coords;
  for (std::int64_t batch = 0; batch < 4; ++batch) {
    const std::size_t wanted = coords.size() + share[batch];
    std::int64_t side = 1;
    const double cells = static_cast<double>(share[batch]) / kDensity[dims - 1];
    while (std::pow(static_cast<double>(side), dims) < cells) ++side;
    while (coords.size() < wanted) {
      oracle::Coord c{batch};
      for (int d = 0; d < dims; ++d) c.push_back(corner + static_cast<std::int64_t>(random() % side));
      coords.insert(c);
    }
  }
  return oracle::unique(coords);
}

/// Whole numbers of [-8, 8]: sums of their products are exact in float32, so results can be compared for equality.
inline oracle::Matrix whole(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  oracle::Matrix m(rows, cols);
  for (double& x : m.values) x = static_cast<double>(random() % 17) - 8;
  return m;
}

/// Float32 values of [-1, 1).
inline oracle::Matrix real(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  oracle::Matrix m(rows, cols);
  for (double& x : m.values) x = static_cast<double>(random() >> 8) / (1 << 23) - 1;
  return m;
}

/// A window with the same extents on every axis.
inline oracle::Window cube(int dims, int size, int stride = 1, int dilation = 1) {
  const auto n = static_cast<std::size_t>(dims);
  return {std::vector<int>(n, size), std::vector<int>(n, stride), std::vector<int>(n, dilation),
          std::vector<int>(n, 0)};
}

inline oracle::Window bounded(oracle::Window w, int pad) {
  w.bounded = true;
  w.pad.assign(w.size.size(), pad);
  return w;
}

/// Floor semantics: kernel sizes 1..5, strides 1..3, dilations 1 and 2, and each of them different per axis.
inline std::vector<oracle::Window> floor_windows(int dims) {
  std::vector<oracle::Window> windows;
  for (const int stride : {1, 2, 3})
    for (const int dilation : {1, 2})
      for (const int size : {1, 2, 3, 4, 5}) windows.push_back(cube(dims, size, stride, dilation));
  const auto n = static_cast<std::size_t>(dims);
  const auto first = [n](std::vector<int> values) { return values.resize(n), values; };
  windows.push_back({first({3, 1, 3, 2}), first({1, 1, 1, 1}), first({1, 1, 1, 1}), first({0, 0, 0, 0})});
  windows.push_back({first({1, 3, 5, 1}), first({1, 1, 1, 1}), first({1, 2, 1, 3}), first({0, 0, 0, 0})});
  windows.push_back({first({3, 3, 3, 1}), first({2, 1, 3, 2}), first({1, 1, 1, 1}), first({0, 0, 0, 0})});
  windows.push_back({first({2, 3, 4, 3}), first({1, 2, 2, 3}), first({3, 2, 1, 1}), first({0, 0, 0, 0})});
  return windows;
}

/// Bounded semantics: sizes 1..4, strides 1..3, dilations 1 and 2, padding 0 and 1, and a mixture.
inline std::vector<oracle::Window> bounded_windows(int dims) {
  std::vector<oracle::Window> windows;
  for (const int pad : {0, 1})
    for (const int stride : {1, 2, 3})
      for (const int size : {1, 2, 3}) windows.push_back(bounded(cube(dims, size, stride), pad));
  windows.push_back(bounded(cube(dims, 3, 1, 2), 1));
  windows.push_back(bounded(cube(dims, 2, 2, 2), 0));
  windows.push_back(bounded(cube(dims, 4, 2), 1));
  const auto n = static_cast<std::size_t>(dims);
  const auto first = [n](std::vector<int> values) { return values.resize(n), values; };
  windows.push_back({first({3, 1, 3, 2}), first({1, 2, 2, 1}), first({1, 1, 2, 1}), first({1, 0, 2, 0}), true});
  return windows;
}

inline std::vector<oracle::Window> all_windows(int dims) {
  auto windows = floor_windows(dims);
  for (const auto& w : bounded_windows(dims)) windows.push_back(w);
  return windows;
}

/// The smallest shape that holds a cloud from corner 0, one cell wider on the last axis.
inline std::vector<int> shape_of(const oracle::Coords& coords) {
  std::vector<int> shape(coords[0].size() - 1, 1);
  for (const auto& c : coords)
    for (std::size_t d = 0; d < shape.size(); ++d) shape[d] = std::max(shape[d], static_cast<int>(c[d + 1]) + 1);
  ++shape.back();
  return shape;
}

}  // namespace test_data
