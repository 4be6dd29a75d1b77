#include <voxshift/tensor/error.h>
#include <voxshift/tensor/key_layout.h>

#include <bit>

namespace voxshift {
namespace {

constexpr int kKeyBits = 63;

}  // namespace

KeyLayout::KeyLayout(int axes, const Coordinate& lowest, const Coordinate& highest) : axes_(axes) {
  int shift = 0;
  for (int axis = axes_ - 1; axis >= 0; --axis) {
    const auto a = static_cast<std::size_t>(axis);
    lowest_[a] = lowest[a];
    highest_[a] = highest[a];
    const bool spatial = axis > 0;  // no kernel has an offset along the batch
    width_[a] = std::bit_width(static_cast<std::uint64_t>(extent(axis) - 1)) + (spatial ? 1 : 0);
    shift_[a] = shift;
    shift += width_[a];
  }
  check(shift <= kKeyBits, "[coordinates] the extents need ", shift, " bits in one key, at most ", kKeyBits,
        " can be had; leave out what lies far from the rest");
}

KeyLayout KeyLayout::from_lowest() const {
  KeyLayout moved = *this;
  for (int axis = 1; axis < axes_; ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    moved.lowest_[a] = 0;
    moved.highest_[a] = static_cast<std::int32_t>(extent(axis) - 1);
  }
  return moved;
}

}  // namespace voxshift
