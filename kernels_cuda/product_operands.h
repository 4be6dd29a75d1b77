// What the kernels of the product read and write, where their tiles lie, and how an output is finished.
#pragma once

#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/row_table.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/tensor_tile.h>

#include <cstdint>
#include <type_traits>

namespace voxshift::cuda {

/// A product of rows, as its kernels get it.
template <class Element_, class Residual, class Out>
struct ProductOperands {
  using Element = Element_;

  Rows<const Element> in;
  RowTable map;
  const Element* weight;    // [volume, padded_in, padded_out], of i8 [volume, padded_out, padded_in]
  const float* multiplier;  // of i8
  int volume, padded_in, padded_out;
  RowEpilogue<Residual> epilogue;
  Out out;
  bool vector_out;  // out and residual are taken a chunk at a time

  template <class Sum>
  __device__ float finish(Sum sum, int channel, float other) const {
    if constexpr (std::is_same_v<Sum, std::int32_t>) {
      return epilogue.finish_with(static_cast<float>(sum) * multiplier[channel], channel, other);
    } else {
      return epilogue.finish_with(sum, channel, other);
    }
  }
  /// The same of neighbouring channels.
  template <int kWidth, class Sum>
  __device__ void finish(const Sum* sums, int channel, const float (&others)[kWidth], float (&x)[kWidth]) const {
#pragma unroll
    for (int c = 0; c < kWidth; ++c) {
      x[c] = static_cast<float>(sums[c]);
      if constexpr (std::is_same_v<Sum, std::int32_t>) x[c] *= multiplier[channel + c];
    }
    epilogue.finish_with(x, channel, others);
  }
};

/// Where a tile lies. Column tiles of the same rows are neighbours; rows with many offsets, which are last in the
/// order, come first.
struct TilePlace {
  std::int64_t first_row;  // in the order of the map
  int first_column;

  __device__ TilePlace(int tile, int tiles, std::int64_t channels, int rows, int columns) {
    const int column_tiles = ceil_div(static_cast<int>(channels), columns);
    first_column = tile % column_tiles * columns;
    first_row = std::int64_t{(tiles - 1 - tile) / column_tiles} * rows;
  }
};

/// Finishes neighbouring sums of an output row, -1 beyond the last, and writes those of channels that there are.
template <int kWidth, class X, class Sum>
__device__ void finish_chunk(const X& x, int row, int column, const Sum* sums) {
  if (row < 0 || column >= x.out.channels) return;
  write_chunk<kWidth>(
      x.out, row, column, x.epilogue.residual, row, x.vector_out,
      [&](int channel, float other) { return x.finish(sums[channel], column + channel, other); },
      [&](const auto& others, auto& numbers) { x.finish(sums, column, others, numbers); });
}

}  // namespace voxshift::cuda
