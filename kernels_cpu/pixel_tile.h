// The register-tiled product of 2-D convolutions: sums start from the bias, stay in registers over all pieces of the
// input, and leave through the activation. Compiled once per instruction set, like matmul.h.
//
// It differs from matmul.h's tile, whose sums wait in memory between the offsets of a kernel map: here every output row
// of a tile has all of its inputs, and an image's rows lie at equal distances.
#if defined(VOXSHIFT_KERNELS_CPU_PIXEL_TILE_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_PIXEL_TILE_H
#undef VOXSHIFT_KERNELS_CPU_PIXEL_TILE_H
#else
#define VOXSHIFT_KERNELS_CPU_PIXEL_TILE_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Weights are asked for so many inputs in advance: a small image leaves each of them little time in the cache.
constexpr std::int64_t kAhead = 24;

/// Widest tile in panels, and its rows. 14 divides the widths of the images that networks see: 112, 56, 28, 14, 7.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kPixelPanels = 2;
constexpr int kPixelRows = 14;
#elif HWY_TARGET == HWY_AVX2
constexpr int kPixelPanels = 2;
constexpr int kPixelRows = 3;
#elif HWY_ARCH_ARM
constexpr int kPixelPanels = 1;
constexpr int kPixelRows = 5;
#else
constexpr int kPixelPanels = 1;
constexpr int kPixelRows = kLanes == 1 ? 1 : 3;
#endif

/// Activation as min(high, max(low, x)), then slope * x below 0 for the leaky one.
struct Clamp {
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity(), slope = 1;

  explicit Clamp(const Activation& activation) {
    if (activation.kind == Activation::Kind::kRelu || activation.kind == Activation::Kind::kRelu6) low = 0;
    if (activation.kind == Activation::Kind::kRelu6) high = 6;
    if (activation.kind == Activation::Kind::kLeakyRelu) slope = activation.slope;
  }

  bool leaky() const { return slope != 1; }

  /// All but the slope.
  HWY_INLINE FloatVector bound(FloatVector x) const {
    const Floats d;
    return hn::Min(hn::Set(d, high), hn::Max(hn::Set(d, low), x));
  }

  HWY_INLINE FloatVector operator()(FloatVector x) const {
    const Floats d;
    x = bound(x);
    if (leaky()) [[unlikely]]
      x = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, hn::Set(d, slope)));
    return x;
  }
};

constexpr int kMostStridedPieces = static_cast<int>(kMostKernel2d);

/// `channels` numbers of each row of a tile, one piece of its sums. Row r starts at base + r * stride.
struct StridedPiece {
  const float* base;
  std::int64_t stride;
  std::int64_t channels;
};

/// The same with row r at rows[r].
struct PickedPiece {
  const float* const* rows;
  std::int64_t channels;
};

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

/// Weights of one or two neighbouring panels: input number i of panel p lies at weight + p * distance + 16 i.
struct Panels {
  const float* weight;
  std::int64_t distance;
  const float* bias;

  Panels(const PackedConv2d& weights, std::int64_t panel)
      : weight(weights.panel(panel)), distance(weights.depth() * kPanel), bias(weights.bias + panel * kPanel) {}
};

/// Where a tile's rows go. Row r is row picked[r] of `out`, or r where that is null; the residual is added before the
/// activation.
struct TileOut {
  float* out;
  std::int64_t stride;
  const std::int32_t* picked = nullptr;
  std::int64_t channels;  ///< of the panels that exist in `out`
  const float* residual = nullptr;
  std::int64_t residual_stride = 0;
  const std::int32_t* residual_picked = nullptr;

  float* row(int r) const { return out + (picked != nullptr ? picked[r] : r) * stride; }
  const float* residual_row(int r) const {
    return residual == nullptr ? nullptr
                               : residual + (residual_picked != nullptr ? residual_picked[r] : r) * residual_stride;
  }

  HWY_INLINE void advance(std::int64_t rows) {
    if (picked != nullptr) {
      picked += rows;
    } else {
      out += rows * stride;
    }
    if (residual_picked != nullptr) {
      residual_picked += rows;
    } else if (residual != nullptr) {
      residual += rows * residual_stride;
    }
  }
};

/// Outputs from entry `first` of `pixels` on, and from panel `panel` on: `out` has a row for every entry, `residual`
/// for every pixel of the image.
HWY_INLINE TileOut tile_out(const RowView& out, const ConstRowView& residual, const Pixels& pixels, std::int64_t first,
                            std::int64_t panel) {
  TileOut to{static_cast<float*>(out.base) + first * out.row_stride + panel * kPanel, out.row_stride, nullptr,
             out.channels - panel * kPanel};
  if (residual.base == nullptr) return to;
  to.residual = static_cast<const float*>(residual.base) + panel * kPanel;
  to.residual_stride = residual.row_stride;
  if (pixels.rows != nullptr) {
    to.residual_picked = pixels.rows + first;
  } else {
    to.residual += first * residual.row_stride;
  }
  return to;
}

/// What pixel_tile leaves out of its straight path: residuals, the end of the channels, the leaky activation.
inline HWY_NOINLINE void finish_tile(const float* sums, int rows, std::int64_t width, const Clamp& clamp,
                                     const TileOut& out) {
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

/// Rows of the next tile when n are left: as few tiles as possible, the last two about equally high.
constexpr std::int64_t next_tile(std::int64_t n) {
  return n <= kPixelRows ? n : n < 2 * kPixelRows ? (n + 1) / 2 : kPixelRows;
}

/// The product of n rows at equal distances, tile by tile: the tiles overlap in the pipeline, which matters where an
/// input has few channels.
template <int kPanels>
HWY_NOINLINE void strided_tiles(std::int64_t n, const StridedPiece* given, int count, const Panels& panels,
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

/// The product of one tile of picked rows.
template <int kPanels>
HWY_NOINLINE void picked_tile(std::int64_t rows, const PickedPiece* pieces, int count, const Panels& panels,
                              const Clamp& clamp, const TileOut& out) {
  pixel_tile_of<kPanels>(rows, pieces, count, panels, clamp, out);
}

/// Calls body.template operator()<n>() with as many of the panels that are left as a tile takes.
template <class Body>
HWY_INLINE void with_panels(std::int64_t panels, const Body& body) {
  if constexpr (kPixelPanels == 2) {
    if (panels >= 2) return body.template operator()<2>();
  }
  body.template operator()<1>();
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
