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

/// Activation as at_most(high, at_least(low, x)), then slope * x below 0 for the leaky one.
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
    return at_most(hn::Set(d, high), at_least(hn::Set(d, low), x));
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

/// Weights of `count` neighbouring panels, as many as a tile takes of those from `panel` to `last`: input number i of
/// panel p lies at weight + p * distance + 16 i.
struct Panels {
  const float* weight;
  std::int64_t distance;
  const float* bias;
  std::int64_t count;

  Panels(const PackedConv2d& weights, std::int64_t panel, std::int64_t last)
      : weight(weights.panel(panel)),
        distance(weights.depth() * kPanel),
        bias(weights.bias + panel * kPanel),
        count(std::min<std::int64_t>(last - panel, kPixelPanels)) {}
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

/// Outputs from entry `first` of `pixels` on, and from panel `panel` on: `out` has a row for each of these entries,
/// `residual` for every pixel of the image.
HWY_INLINE TileOut tile_out(const RowView& out, const ConstRowView& residual, const Pixels& pixels, std::int64_t first,
                            std::int64_t panel) {
  TileOut to{static_cast<float*>(out.base) + panel * kPanel, out.row_stride, nullptr, out.channels - panel * kPanel};
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

/// Rows of the next tile when n are left: as few tiles as possible, the last two about equally high.
constexpr std::int64_t next_tile(std::int64_t n) {
  return n <= kPixelRows ? n : n < 2 * kPixelRows ? (n + 1) / 2 : kPixelRows;
}

/// The product of n rows at equal distances, tile by tile: the tiles overlap in the pipeline, which matters where an
/// input has few channels.
void strided_tiles(std::int64_t n, const StridedPiece* pieces, int count, const Panels& panels, const Clamp& clamp,
                   const TileOut& out);

/// The product of one tile of picked rows.
void picked_tile(std::int64_t rows, const PickedPiece* pieces, int count, const Panels& panels, const Clamp& clamp,
                 const TileOut& out);

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
