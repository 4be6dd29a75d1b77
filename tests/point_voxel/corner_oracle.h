// Trilinear interpolation by its definition, on coordinates, in double.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "oracle.h"

namespace oracle {

/// Row i of an interpolation: K indices and weights.
struct Mixtures {
  std::vector<std::int32_t> indices;
  std::vector<double> weights;
};

/// Appends the 8 corners at q, z fastest; `rows` are the voxels present.
inline void add_corners(Mixtures& m, const std::map<Coord, std::int32_t>& rows, std::int64_t batch,
                        const std::array<double, 3>& q, bool renormalize) {
  double sum = 0;
  for (int j = 0; j < 8; ++j) {
    Coord corner{batch};
    double weight = 1;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const bool above = (j >> (2 - axis) & 1) != 0;
      const double low = std::floor(q[axis]), fraction = q[axis] - low;
      corner.push_back(static_cast<std::int64_t>(low) + (above ? 1 : 0));
      weight *= above ? fraction : 1 - fraction;
    }
    const auto found = rows.find(corner);
    m.indices.push_back(found == rows.end() ? -1 : found->second);
    m.weights.push_back(found == rows.end() ? 0 : weight);
    sum += m.weights.back();
  }
  if (!renormalize) return;
  for (auto w = m.weights.end() - 8; w != m.weights.end(); ++w) *w /= sum + 1e-8;
}

inline std::map<Coord, std::int32_t> rows_by_coord(const Coords& coords) {
  std::map<Coord, std::int32_t> rows;
  for (std::size_t i = 0; i < coords.size(); ++i) rows[coords[i]] = static_cast<std::int32_t>(i);
  return rows;
}

inline Matrix mixed(const Matrix& in, const Mixtures& m, std::size_t k) {
  Matrix out(m.indices.size() / k, in.cols);
  for (std::size_t i = 0; i < m.indices.size(); ++i)
    for (std::size_t c = 0; c < in.cols && m.indices[i] >= 0; ++c)
      out.at(i / k, c) += m.weights[i] * in.at(static_cast<std::size_t>(m.indices[i]), c);
  return out;
}

/// The same indices, and weights within 1e-6.
inline void expect_mixtures(const std::vector<std::int32_t>& indices, const std::vector<float>& weights,
                            const Mixtures& expected) {
  ASSERT_EQ(indices, expected.indices);
  ASSERT_EQ(weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) ASSERT_NEAR(weights[i], expected.weights[i], 1e-6) << i;
}

}  // namespace oracle
