// Kernel maps: which input row meets which output row at which offset of a convolution window.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/key_layout.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace voxshift {

/// How the coordinates of an output follow from those of its input.
enum class Semantics {
  kFloor,    ///< outputs are unique(floor(c / stride)), odd kernels are centred; MinkowskiEngine, torchsparse <= 2.0
  kBounded,  ///< every output that a tap touches inside the shape exists, input = o * stride - pad + r * dilation;
             ///< spconv
};

/// Extents of a convolution window per spatial axis, as they decide coordinates and maps. `dims` entries are
/// meaningful.
struct Window {
  using Extents = std::array<std::int32_t, kMaxDimensions>;

  int dims = 3;
  Extents size{1, 1, 1, 1}, stride{1, 1, 1, 1}, dilation{1, 1, 1, 1}, pad{0, 0, 0, 0};
  Semantics semantics = Semantics::kFloor;

  int volume() const;
  bool unit_stride() const;

  /// Whether convolutions with either window give the same output coordinates: with kFloor the stride alone decides.
  bool same_outputs(const Window& other) const;

  /// Offset k of the window per axis: input = output * stride + offset. Row-major, last axis fastest; with kFloor odd
  /// sizes are centred and even sizes run 0..size-1, with kBounded the first tap is -pad.
  constexpr Extents offset(int k) const {
    Extents result{0, 0, 0, 0};
    for (int axis = dims - 1; axis >= 0; --axis) {
      const auto d = static_cast<std::size_t>(axis);
      const int tap = k % size[d];
      k /= size[d];
      const bool centred = semantics == Semantics::kFloor && size[d] % 2 == 1;
      result[d] = (tap - (centred ? size[d] / 2 : 0)) * dilation[d];
      if (semantics == Semantics::kBounded) result[d] -= pad[d];
    }
    return result;
  }

  /// Throws InvalidArgument with `op` in front when an extent is out of range (1..4 dims, size, stride, dilation >= 1).
  void check_valid(const char* op) const;

  bool operator==(const Window&) const = default;
};

/// The pairs of one offset, ascending in `in` and, the map being monotone, ascending in `out` too.
struct PairList {
  const std::int32_t* in;
  const std::int32_t* out;
  std::int64_t count;
};

/// Where lists start that lie one after the other: starts[k] = pairs of the lists before k. Returns those of all.
std::int64_t list_starts(std::span<const PairList> lists, std::int64_t* starts);

/// Rows a backend may treat as one unit: pair lists are split at multiples of this many output rows.
constexpr std::int64_t kSplitRows = 256;

/// A kernel map by output rows, as CUDA keeps it.
struct RowTable {
  const std::int32_t* table = nullptr;   ///< [out_rows, volume]: in rows, -1 for none; null: row i meets row i
  const std::uint32_t* masks = nullptr;  ///< [out_rows, words]: bit k of a row says whether it has a pair at offset k
  const std::int32_t* order = nullptr;   ///< [out_rows]: rows with similar masks are neighbours; null: as they are
  bool mirrored = false;                 ///< offset k stands in the place of volume - 1 - k

  static constexpr int words(int volume) { return (volume + 31) / 32; }
};

/// A kernel map as kernels see it, in one direction: as lists on the CPU, by output rows on CUDA. Since every list
/// ascends in both of its columns, a map and its transpose share their lists; only the splits differ.
struct KernelMapView {
  int volume = 0;
  std::int64_t in_rows = 0, out_rows = 0;
  const PairList* pairs = nullptr;  ///< [volume]

  /// [(ceil(out_rows / kSplitRows) + 1), volume]: in list k the first pair whose out row is at least s * kSplitRows.
  const std::int32_t* splits = nullptr;

  RowTable rows;
};

/// A kernel map in both directions: `forward` from the fine to the coarse coordinates, `transposed` back.
struct KernelMapViews {
  KernelMapView forward, transposed;
};

class Arena;

/// A kernel map that owns its memory. Immutable.
class KernelMap {
 public:
  KernelMap(std::unique_ptr<Arena> arena, KernelMapViews views);
  ~KernelMap();

  const KernelMapView& forward() const { return views_.forward; }
  const KernelMapView& transposed() const { return views_.transposed; }

  /// Canonical pairs int32 [P, 3] = (offset, in row, out row), by offset, then by out row.
  Array pairs() const;

 private:
  std::unique_ptr<Arena> arena_;
  KernelMapViews views_;
};

}  // namespace voxshift
