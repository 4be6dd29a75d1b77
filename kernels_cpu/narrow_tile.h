// The register tiles of narrow products on x86, and how rows are staged. A source of one instruction set includes this,
// describes its vectors as a struct `Set` in its anonymous namespace, and is compiled with flags of its own: all that
// this header gives depends on that struct, so that no function of it is shared with a source of other flags. For the
// same reason such a source calls nothing of the standard library's that is inline.
//
// A word is `group` channels of one row, 4 bytes; per word a tile loads P * 64 bytes of weights and broadcasts R words.
//   struct Set {
//     using Sum, Word, Weight;             // vectors
//     static constexpr int kPanelVectors;  // that hold the 16 outputs of a panel
//     static constexpr int kMostPanels;    // of a tile
//     static constexpr int rows(int panels);  // of a tile
//     Sum load(const std::byte*); void store(Sum, std::byte*);
//     Sum start(Sum, const std::byte* head);   // + head
//     Sum zero();
//     Word broadcast(const std::byte*); Weight weight(const std::byte*);
//     Sum multiply(Word, Weight, Sum);         // added to the sum
//     void copy(const std::byte* from, std::int64_t channels, std::byte* to);  // stages a row
//   }
#pragma once

#include <voxshift/kernels_cpu/narrow_product.h>

#include <cstddef>
#include <cstdint>

#define VOXSHIFT_INLINE [[gnu::always_inline]] static inline

namespace voxshift::cpu {

constexpr std::int64_t kPanelBytes = 64;  // of one group of channels, and of a panel's sums in one row

VOXSHIFT_INLINE std::int32_t narrow_word(const std::byte* p) {
  std::int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

/// kFresh: the sums begin here.
template <class Set, int kRows, int kPanels, bool kFresh>
VOXSHIFT_INLINE void narrow_tile(const NarrowTile& t, std::int64_t panel, std::int64_t row) {
  constexpr int kVectors = kPanels * Set::kPanelVectors;
  constexpr std::int64_t kVectorBytes = kPanelBytes / Set::kPanelVectors;
  const std::byte* x[kRows];
  std::byte* sums[kRows];
  typename Set::Sum acc[kRows][kVectors];
  const std::byte* weight = t.panel + panel * t.panel_stride;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    x[r] = t.staged + (row + r) * t.staged_stride;
    const std::int64_t to = t.sum_rows != nullptr ? t.sum_rows[row + r] - t.first_sum_row : row + r;
    sums[r] = static_cast<std::byte*>(t.sums) + to * t.sums_stride * 4 + panel * kPanelBytes;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      acc[r][v] = Set::start(kFresh ? Set::zero() : Set::load(sums[r] + v * kVectorBytes),
                             weight + v / Set::kPanelVectors * t.panel_stride + v % Set::kPanelVectors * kVectorBytes);
  }
  weight += kPanelBytes;
  const std::int64_t groups = t.groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    typename Set::Weight w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      w[v] = Set::weight(weight + v / Set::kPanelVectors * t.panel_stride + v % Set::kPanelVectors * kVectorBytes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const typename Set::Word word = Set::broadcast(x[r] + g * 4);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Set::multiply(word, w[v], acc[r][v]);
    }
    weight += kPanelBytes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) Set::store(acc[r][v], sums[r] + v * kVectorBytes);
}

/// `rows` rows, at most kRows.
template <class Set, int kPanels, bool kFresh, int kRows>
VOXSHIFT_INLINE void narrow_tail(const NarrowTile& t, std::int64_t panel, std::int64_t row, std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return narrow_tile<Set, kRows, kPanels, kFresh>(t, panel, row);
    narrow_tail<Set, kPanels, kFresh, kRows - 1>(t, panel, row, rows);
  }
}

template <class Set>
VOXSHIFT_INLINE void narrow_prefetch(const NarrowRows& next, std::int64_t first, std::int64_t last) {
  if (last > next.count) last = next.count;
  for (std::int64_t i = first; i < last; ++i) {
    const std::byte* const row = next.from + next.rows[i] * next.stride;
    for (std::int64_t b = 0; b < next.channels * Set::kNumberBytes; b += 64) __builtin_prefetch(row + b);
  }
}

/// All rows; the last ones in two tiles of about the same size rather than in a full and a small one, whose few sums
/// would wait for each other.
template <class Set, int kPanels, bool kFresh>
[[gnu::noinline]] void narrow_panels(const NarrowTile& t, std::int64_t panel) {
  constexpr int kRows = Set::rows(kPanels);
  const NarrowRows* const next = panel == 0 ? t.next : nullptr;
  std::int64_t row = 0;
  for (; t.rows - row >= 2 * kRows || t.rows - row == kRows; row += kRows) {
    if (next != nullptr) narrow_prefetch<Set>(*next, row, row + kRows);
    narrow_tile<Set, kRows, kPanels, kFresh>(t, panel, row);
  }
  if (next != nullptr) narrow_prefetch<Set>(*next, row, next->count);
  while (row < t.rows) {
    const std::int64_t left = t.rows - row, now = left > kRows ? (left + 1) / 2 : left;
    narrow_tail<Set, kPanels, kFresh, kRows>(t, panel, row, now);
    row += now;
  }
}

template <class Set, bool kFresh>
VOXSHIFT_INLINE void narrow_all_panels(const NarrowTile& t) {
  for (std::int64_t panel = 0; panel < t.panels;) {
    const std::int64_t left = t.panels - panel;
    if constexpr (Set::kMostPanels == 4) {
      if (left >= 4 && left != 5) {
        narrow_panels<Set, 4, kFresh>(t, panel);
        panel += 4;
        continue;
      }
      if (left == 3 || left == 5) {
        narrow_panels<Set, 3, kFresh>(t, panel);
        panel += 3;
        continue;
      }
      if (left == 2) {
        narrow_panels<Set, 2, kFresh>(t, panel);
        panel += 2;
        continue;
      }
    }
    narrow_panels<Set, 1, kFresh>(t, panel);
    ++panel;
  }
}

template <class Set>
void narrow_multiply(const NarrowTile& t) {
  if (t.fresh) {
    narrow_all_panels<Set, true>(t);
  } else {
    narrow_all_panels<Set, false>(t);
  }
}

template <class Set>
void narrow_stage(const NarrowRows& r) {
  for (std::int64_t i = 0; i < r.count; ++i)
    Set::copy(r.from + (r.rows != nullptr ? r.rows[i] : i) * r.stride, r.channels, r.to + i * r.to_stride);
}

template <class Set>
constexpr NarrowProduct narrow_table(const char* name, DType dtype, int group, int staged_size, int weight_size,
                                     int zero, int staged_rows) {
  NarrowProduct product{
      name, dtype, group, staged_size, weight_size, zero, staged_rows, narrow_stage<Set>, narrow_multiply<Set>};
  product.fresh = true;
  return product;
}

}  // namespace voxshift::cpu
