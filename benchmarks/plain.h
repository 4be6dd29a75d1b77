// Plain loops that results are checked against before they are timed.
#pragma once

#include <voxshift/tensor/array.h>

#include <array>
#include <cstdint>
#include <map>

namespace voxshift::bench {

/// Rows of 3-D coordinates (batch first) by coordinate.
class RowOfCoordinate {
 public:
  using Coordinate = std::array<std::int32_t, 4>;  ///< batch, x, y, z

  explicit RowOfCoordinate(const Array& coords) : coords_(coords) {
    for (std::int64_t row = 0; row < coords.dim(0); ++row) rows_.emplace(at(row), row);
  }

  Coordinate at(std::int64_t row) const {
    const std::int32_t* c = coords_.data<std::int32_t>() + 4 * row;
    return {c[0], c[1], c[2], c[3]};
  }

  /// The row at at(row) + offset k of a 3^3 window, k row-major with the last axis fastest; -1: none.
  std::int64_t neighbour(std::int64_t row, int k) const {
    auto [batch, x, y, z] = at(row);
    return find({batch, x + k / 9 - 1, y + k / 3 % 3 - 1, z + k % 3 - 1});
  }

  /// The row of a coordinate; -1: none.
  std::int64_t find(const Coordinate& coordinate) const {
    const auto found = rows_.find(coordinate);
    return found == rows_.end() ? -1 : found->second;
  }

 private:
  Array coords_;
  std::map<Coordinate, std::int64_t> rows_;
};

}  // namespace voxshift::bench
