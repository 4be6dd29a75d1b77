// The tiles of pixel_tile.h, compiled here for all that use them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/pixel_tile.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Rows 0, 5 and 10 and two distances address all rows of a tile: more pointers would not fit into the registers.
template <int kRows>
class Walk {
 public:
  explicit HWY_INLINE Walk(const StridedPiece& piece) : stride_(piece.stride), stride3_(3 * piece.stride) {
    for (int b = 0; b < kBases; ++b) base_[b] = piece.base + 5 * b * piece.stride;
  }
  HWY_INLINE float operator()(int row) const {
    const float* const base = base_[row / 5];
    return row % 5 == 3 ? base[stride3_] : base[row % 5 * stride_];
  }
  HWY_INLINE void step() {
#pragma GCC unroll 4
    for (int b = 0; b < kBases; ++b) ++base_[b];
  }

 private:
  static constexpr int kBases = (kRows + 4) / 5;
  const float* base_[kBases];
  std::int64_t stride_, stride3_;
};

template <int kRows>
class PickedWalk {
 public:
  explicit HWY_INLINE PickedWalk(const PickedPiece& piece) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) row_[r] = piece.rows[r];
  }
  HWY_INLINE float operator()(int row) const { return row_[row][channel_]; }
  HWY_INLINE void step() { ++channel_; }

 private:
  const float* row_[kRows];
  std::int64_t channel_ = 0;
};

template <int kRows>
HWY_INLINE Walk<kRows> walk(const StridedPiece& piece) {
  return Walk<kRows>(piece);
}
template <int kRows>
HWY_INLINE PickedWalk<kRows> walk(const PickedPiece& piece) {
  return PickedWalk<kRows>(piece);
}

/// What pixel_tile leaves out of its straight path: residuals, the end of the channels, the leaky activation.
HWY_NOINLINE void finish_tile(const float* sums, int rows, std::int64_t width, const Clamp& clamp, const TileOut& out) {
  const Floats d;
  const std::int64_t channels = std::min(width, out.channels);
  for (int r = 0; r < rows; ++r, sums += width) {
    float* const to = out.row(r);
    const float* const residual = out.residual_row(r);
    std::int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      FloatVector x = hn::Load(d, sums + c);
      if (residual != nullptr) x = hn::Add(x, hn::LoadU(d, residual + c));
      hn::StoreU(clamp(x), d, to + c);
    }
    if (c == channels) continue;
    FloatVector x = hn::Load(d, sums + c);
    if (residual != nullptr) x = hn::Add(x, load_some(residual + c, channels - c));
    store_some(clamp(x), to + c, channels - c);
  }
}

/// A tile of kRows rows and kPanels panels: bias, then piece by piece its channels in order.
template <int kRows, int kPanels, class Piece>
HWY_INLINE void pixel_tile(const Piece* pieces, int count, const Panels& panels, const Clamp& clamp,
                           const TileOut& out) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const Floats d;
  FloatVector acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const FloatVector bias = hn::Load(d, panels.bias + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) acc[r][v] = bias;
  }
  const float* weight = panels.weight;
  const std::int64_t distance = panels.distance;
  for (int p = 0; p < count; ++p) {
    auto row = walk<kRows>(pieces[p]);
    for (std::int64_t left = pieces[p].channels; left > 0; --left) {
      FloatVector w[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
        w[v] = hn::Load(d, weight + v / kPanelVectors * distance + v % kPanelVectors * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const FloatVector x = hn::Set(d, row(r));
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(x, w[v], acc[r][v]);
      }
      row.step();
      for (int q = 0; q < kPanels; ++q) hwy::Prefetch(weight + q * distance + kAhead * kPanel);
      weight += kPanel;
    }
  }
  if (out.channels >= kPanels * kPanel && out.residual == nullptr && !clamp.leaky()) [[likely]] {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      float* const to = out.row(r);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) hn::StoreU(clamp.bound(acc[r][v]), d, to + v * kLanes);
    }
    return;
  }
  HWY_ALIGN float sums[kRows * kPanels * kPanel];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::Store(acc[r][v], d, sums + (r * kVectors + v) * kLanes);
  finish_tile(sums, kRows, kPanels * kPanel, clamp, out);
}

/// pixel_tile of `rows` rows, at most kRows.
template <int kPanels, class Piece, int kRows = kPixelRows>
HWY_INLINE void pixel_tile_of(std::int64_t rows, const Piece* pieces, int count, const Panels& panels,
                              const Clamp& clamp, const TileOut& out) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pixel_tile_of<kPanels, Piece, kRows - 1>(rows, pieces, count, panels, clamp, out);
  }
  pixel_tile<kRows, kPanels>(pieces, count, panels, clamp, out);
}

template <int kPanels>
HWY_NOINLINE void strided_tiles_of(std::int64_t n, const StridedPiece* given, int count, const Panels& panels,
                                   const Clamp& clamp, TileOut out) {
  StridedPiece pieces[kMostStridedPieces];
  std::copy_n(given, count, pieces);
  while (n > 0) {
    const std::int64_t rows = next_tile(n);
    if (rows == kPixelRows) {
      pixel_tile<kPixelRows, kPanels>(pieces, count, panels, clamp, out);
    } else {
      pixel_tile_of<kPanels>(rows, pieces, count, panels, clamp, out);
    }
    for (int p = 0; p < count; ++p) pieces[p].base += rows * pieces[p].stride;
    out.advance(rows);
    n -= rows;
  }
}

template <int kPanels>
HWY_NOINLINE void picked_tile_of(std::int64_t rows, const PickedPiece* pieces, int count, const Panels& panels,
                                 const Clamp& clamp, const TileOut& out) {
  pixel_tile_of<kPanels>(rows, pieces, count, panels, clamp, out);
}

void strided_tiles(std::int64_t n, const StridedPiece* pieces, int count, const Panels& panels, const Clamp& clamp,
                   const TileOut& out) {
  if (panels.count == 1) return strided_tiles_of<1>(n, pieces, count, panels, clamp, out);
  strided_tiles_of<kPixelPanels>(n, pieces, count, panels, clamp, out);
}

void picked_tile(std::int64_t rows, const PickedPiece* pieces, int count, const Panels& panels, const Clamp& clamp,
                 const TileOut& out) {
  if (panels.count == 1) return picked_tile_of<1>(rows, pieces, count, panels, clamp, out);
  picked_tile_of<kPixelPanels>(rows, pieces, count, panels, clamp, out);
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
