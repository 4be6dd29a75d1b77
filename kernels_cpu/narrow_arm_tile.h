// The register tiles of narrow products on 64-bit Arm, and the walk over rows. As in narrow_tile.h, a source hands in a
// struct of its anonymous namespace, so that none of this is shared with a source of other flags.
//
// All tiles are 16 outputs wide, so that weights are read in the order in which they lie, and as high as 32 registers
// allow beside the operands: at these heights loads are a quarter to two thirds of the products, and as many loads as
// products can be issued at a time.
//   struct Tile {
//     using Sum;                          // std::int32_t, float
//     static constexpr int kNumberBytes;  // of a row
//     static constexpr int kRows;         // of a full tile
//     static constexpr int kRowStep;      // a tile's rows are a multiple of
//     static void run<R>(NarrowArmRows<Sum, R>&, std::int64_t groups);
//   }
#pragma once

#include <arm_neon.h>
#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/narrow_tile.h>

#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

/// What a tile of kRows rows and one panel reads and adds to.
template <class Sum, int kRows>
struct NarrowArmRows {
  const std::byte* x[kRows];
  Sum* sums[kRows];
  const std::byte* weight;  ///< behind the panel's head
  bool fresh;               ///< sums begin with 0
};

/// Rows [row, row + kPresent). A tile that is higher has the last one again in its other rows, whose sums are left.
template <class Tile, int kPresent>
VOXSHIFT_INLINE void narrow_arm_tile(const NarrowTile& t, std::int64_t panel, std::int64_t row) {
  using Sum = typename Tile::Sum;
  constexpr int kRows = (kPresent + Tile::kRowStep - 1) / Tile::kRowStep * Tile::kRowStep;
  NarrowArmRows<Sum, kRows> rows;
#pragma GCC unroll 16
  for (int r = 0; r < kPresent; ++r) {
    const std::int64_t to = t.sum_rows != nullptr ? t.sum_rows[row + r] - t.first_sum_row : row + r;
    rows.x[r] = t.staged + (row + r) * t.staged_stride;
    rows.sums[r] = static_cast<Sum*>(t.sums) + to * t.sums_stride + panel * kPanel;
  }
  rows.weight = t.panel + panel * t.panel_stride + kPanelBytes;
  rows.fresh = t.fresh;
  if constexpr (kPresent == kRows) {
    Tile::template run<kRows>(rows, t.groups);
  } else {
    static_assert(kRows == kPresent + 1);
    Sum left[kPanel] = {};
    rows.x[kPresent] = rows.x[kPresent - 1];
    rows.sums[kPresent] = left;
    Tile::template run<kRows>(rows, t.groups);
  }
}

/// `rows` rows, at most kRows.
template <class Tile, int kRows = Tile::kRows>
VOXSHIFT_INLINE void narrow_arm_tail(const NarrowTile& t, std::int64_t panel, std::int64_t row, std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return narrow_arm_tile<Tile, kRows>(t, panel, row);
    narrow_arm_tail<Tile, kRows - 1>(t, panel, row, rows);
  }
}

/// The last rows in two tiles of about the same height, as narrow_panels().
template <class Tile>
[[gnu::noinline]] void narrow_arm_panel(const NarrowTile& t, std::int64_t panel) {
  constexpr std::int64_t kRows = Tile::kRows, kStep = Tile::kRowStep;
  const NarrowRows* const next = panel == 0 ? t.next : nullptr;
  for (std::int64_t row = 0; row < t.rows;) {
    const std::int64_t left = t.rows - row, half = (left + 2 * kStep - 1) / (2 * kStep) * kStep;
    const std::int64_t now = left >= 2 * kRows ? kRows : left > kRows ? half : left;
    if (next != nullptr) narrow_prefetch<Tile>(*next, row, row + now);
    narrow_arm_tail<Tile>(t, panel, row, now);
    row += now;
  }
  if (next != nullptr) narrow_prefetch<Tile>(*next, t.rows, next->count);
}

/// Panels outermost: one stays in the first cache.
template <class Tile>
void narrow_arm_multiply(const NarrowTile& t) {
  for (std::int64_t panel = 0; panel < t.panels; ++panel) narrow_arm_panel<Tile>(t, panel);
}

/// Stages rows of numbers of kBytes for instructions that take kGroupBytes of a row at once.
template <int kBytes, int kGroupBytes>
struct NarrowArmStage {
  static constexpr int kNumberBytes = kBytes;

  VOXSHIFT_INLINE void copy(const std::byte* from, std::int64_t channels, std::byte* to) {
    const std::int64_t bytes = channels * kBytes;
    std::int64_t b = 0;
    for (; b + 16 <= bytes; b += 16) vst1q_u8(as_u8(to + b), vld1q_u8(as_u8(from + b)));
    for (; b < bytes; ++b) to[b] = from[b];
    for (; b % kGroupBytes != 0; ++b) to[b] = {};
  }

 private:
  VOXSHIFT_INLINE const std::uint8_t* as_u8(const std::byte* p) { return reinterpret_cast<const std::uint8_t*>(p); }
  VOXSHIFT_INLINE std::uint8_t* as_u8(std::byte* p) { return reinterpret_cast<std::uint8_t*>(p); }
};

/// Instructions that multiply 4 bytes of a row, picked by lane, by those of 4 outputs: Dot::add<lane>(sums, weights,
/// x). 20 sums, 5 rows and 4 weights take 29 registers.
template <class Dot>
struct NarrowArmDots {
  using Sum = typename Dot::Sum;
  static constexpr int kNumberBytes = Dot::kNumberBytes, kRows = 5, kRowStep = 1;

  template <int kHeight>
  VOXSHIFT_INLINE void run(NarrowArmRows<Sum, kHeight>& rows, std::int64_t groups) {
    constexpr std::int64_t kLanes = 4;
    typename Dot::Sums sums[kHeight][4];
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) sums[r][v] = rows.fresh ? Dot::zero() : Dot::load_sums(rows.sums[r] + 4 * v);
    for (; groups >= kLanes; groups -= kLanes) {
      typename Dot::Numbers x[kHeight];
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        x[r] = Dot::load(rows.x[r]);
        rows.x[r] += 16;
      }
      add<0>(sums, x, rows.weight);
      add<1>(sums, x, rows.weight + kPanelBytes);
      add<2>(sums, x, rows.weight + 2 * kPanelBytes);
      add<3>(sums, x, rows.weight + 3 * kPanelBytes);
      rows.weight += kLanes * kPanelBytes;
    }
    for (; groups > 0; --groups) {
      typename Dot::Numbers x[kHeight];
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; ++r) {
        x[r] = Dot::load_group(rows.x[r]);
        rows.x[r] += 4;
      }
      add<0>(sums, x, rows.weight);
      rows.weight += kPanelBytes;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) Dot::store_sums(sums[r][v], rows.sums[r] + 4 * v);
  }

 private:
  template <int kLane, int kHeight>
  VOXSHIFT_INLINE void add(typename Dot::Sums (&sums)[kHeight][4], const typename Dot::Numbers (&x)[kHeight],
                           const std::byte* weight) {
    typename Dot::Numbers w[4];
#pragma GCC unroll 16
    for (int v = 0; v < 4; ++v) w[v] = Dot::load(weight + 16 * v);
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) sums[r][v] = Dot::template add<kLane>(sums[r][v], w[v], x[r]);
  }
};

/// Instructions that multiply 2 x 8 bytes, of two rows, by 8 x 2, of two outputs: Matrix::add(sums, x, weights). 24
/// sums, 3 pairs of rows and a weight take 28 registers.
template <class Matrix>
struct NarrowArmMatrices {
  using Sum = typename Matrix::Sum;
  static constexpr int kNumberBytes = Matrix::kNumberBytes, kRows = 6, kRowStep = 2;

  template <int kHeight>
  VOXSHIFT_INLINE void run(NarrowArmRows<Sum, kHeight>& rows, std::int64_t groups) {
    typename Matrix::Sums sums[kHeight / 2][8];
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; r += 2)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) {
        const auto first = rows.fresh ? Matrix::zero() : Matrix::load_sums(rows.sums[r] + 4 * v),
                   second = rows.fresh ? Matrix::zero() : Matrix::load_sums(rows.sums[r + 1] + 4 * v);
        sums[r / 2][2 * v] = Matrix::low_halves(first, second);
        sums[r / 2][2 * v + 1] = Matrix::high_halves(first, second);
      }
    do {  // one group at least
      typename Matrix::Numbers x[kHeight / 2];
#pragma GCC unroll 16
      for (int r = 0; r < kHeight; r += 2) {
        x[r / 2] = Matrix::load(rows.x[r], rows.x[r + 1]);
        rows.x[r] += 8;
        rows.x[r + 1] += 8;
      }
#pragma GCC unroll 16
      for (int v = 0; v < 8; ++v) {
        const typename Matrix::Numbers w = Matrix::load(rows.weight + 16 * v);
#pragma GCC unroll 16
        for (int r = 0; r < kHeight / 2; ++r) sums[r][v] = Matrix::add(sums[r][v], x[r], w);
      }
      rows.weight += 2 * kPanelBytes;
    } while (--groups > 0);
#pragma GCC unroll 16
    for (int r = 0; r < kHeight; r += 2)
#pragma GCC unroll 16
      for (int v = 0; v < 4; ++v) {
        const auto low = sums[r / 2][2 * v], high = sums[r / 2][2 * v + 1];
        Matrix::store_sums(Matrix::low_halves(low, high), rows.sums[r] + 4 * v);
        Matrix::store_sums(Matrix::high_halves(low, high), rows.sums[r + 1] + 4 * v);
      }
  }
};

}  // namespace voxshift::cpu
