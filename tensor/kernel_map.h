// Kernel maps: which input row meets which output row at which offset of a convolution window.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/key_layout.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

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
  Extents output_pad{0, 0, 0, 0};  ///< what a transposed kBounded convolution's extent has more than its taps need

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

/// What the backend that built a map keeps of it, a value of up to four pointers. That backend alone knows its type.
class MapLayout {
 public:
  MapLayout() = default;

  template <class T>
  explicit MapLayout(const T& kept) {
    static_assert(kFits<T>);
    std::memcpy(bytes_.data(), &kept, sizeof(T));
  }

  /// What was put in, which must have been a T.
  template <class T>
  T as() const {
    static_assert(kFits<T>);
    T kept;
    std::memcpy(&kept, bytes_.data(), sizeof(T));
    return kept;
  }

 private:
  static constexpr std::size_t kBytes = 4 * sizeof(void*);
  template <class T>
  static constexpr bool kFits = std::is_trivially_copyable_v<T> && sizeof(T) <= kBytes;

  std::array<std::byte, kBytes> bytes_{};
};

/// A kernel map as kernels see it, in one direction.
struct KernelMapView {
  int volume = 0;
  std::int64_t in_rows = 0, out_rows = 0;
  MapLayout layout;
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
