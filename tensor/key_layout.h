// How an integer coordinate becomes one 64-bit key whose order is the order of the coordinates.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace voxshift {

constexpr int kMaxDimensions = 4;
constexpr int kMaxAxes = kMaxDimensions + 1;  ///< batch first, then the D spatial axes

using Coordinate = std::array<std::int32_t, kMaxAxes>;

/// Exact packing of (batch, c1 .. cD): each axis has a field that holds `c - origin`, batch in the highest bits, so
/// keys sort as the coordinates do. A field has one bit more than its extent needs: adding an offset smaller than the
/// extent to a key can leave the field's used range but cannot reach a key of another coordinate.
class KeyLayout {
 public:
  KeyLayout() = default;

  /// Fields for the inclusive box [lowest, highest], `axes` entries, batch first. Throws InvalidArgument when more than
  /// 63 bits would be needed.
  KeyLayout(int axes, const Coordinate& lowest, const Coordinate& highest);

  bool operator==(const KeyLayout&) const = default;

  constexpr int axes() const { return axes_; }
  int bits() const { return shift_[0] + width_[0]; }
  /// Bits of the box's largest key: the spare bit of its highest field is not among them.
  int used_bits() const { return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(pack(highest_.data())))); }
  constexpr int shift(int axis) const { return shift_[static_cast<std::size_t>(axis)]; }
  constexpr int width(int axis) const { return width_[static_cast<std::size_t>(axis)]; }
  constexpr std::int32_t lowest(int axis) const { return lowest_[static_cast<std::size_t>(axis)]; }
  constexpr std::int32_t highest(int axis) const { return highest_[static_cast<std::size_t>(axis)]; }
  constexpr std::int64_t extent(int axis) const { return std::int64_t{highest(axis)} - lowest(axis) + 1; }

  /// The layout of the same keys when every coordinate is counted from the lowest of its spatial axis.
  KeyLayout from_lowest() const;

  /// Whether the coordinate lies in the box.
  constexpr bool contains(const std::int32_t* c) const {
    for (int axis = 0; axis < axes_; ++axis)
      if (c[axis] < lowest(axis) || c[axis] > highest(axis)) return false;
    return true;
  }

  constexpr std::int64_t pack(const std::int32_t* c) const {
    std::int64_t key = 0;
    for (int axis = 0; axis < axes_; ++axis) key += (std::int64_t{c[axis]} - lowest(axis)) << shift(axis);
    return key;
  }

  constexpr void unpack(std::int64_t key, std::int32_t* c) const {
    for (int axis = 0; axis < axes_; ++axis)
      c[axis] = static_cast<std::int32_t>((key >> shift(axis) & ((std::int64_t{1} << width(axis)) - 1)) + lowest(axis));
  }

 private:
  int axes_ = 0;
  Coordinate lowest_{}, highest_{};
  std::array<int, kMaxAxes> shift_{}, width_{};
};

}  // namespace voxshift
