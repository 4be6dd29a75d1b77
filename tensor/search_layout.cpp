#include <voxshift/tensor/search_layout.h>

#include <algorithm>
#include <cstdint>

namespace voxshift {

KeyLayout search_layout(const Level& fine, const Level& coarse, const Window& window) {
  const Window::Extents first = window.offset(0), last = window.offset(window.volume() - 1);
  Coordinate lowest{}, highest{};
  bool apart = true;
  for (int axis = 0; axis < fine.layout.axes(); ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    const bool spatial = axis > 0;
    const std::int64_t stride = spatial ? window.stride[a - 1] : 1;
    const std::int64_t low = coarse.layout.lowest(axis) * stride + (spatial ? first[a - 1] : 0);
    const std::int64_t high = coarse.layout.highest(axis) * stride + (spatial ? last[a - 1] : 0);
    // A field that runs over borrows from the next one and then shows a value of [extent, 2^width), which no key has.
    const std::int64_t field = std::int64_t{1} << fine.layout.width(axis);
    const std::int64_t room = spatial ? field - fine.layout.extent(axis) : 0;
    apart = apart && low - fine.layout.lowest(axis) >= -room && high - fine.layout.lowest(axis) < field - spatial &&
            high - low < field;
    check(low >= INT32_MIN && high <= INT32_MAX, "[kernel_map] coordinates times stride leave 32 bits");
    lowest[a] = std::min(fine.layout.lowest(axis), static_cast<std::int32_t>(low));
    highest[a] = std::max(fine.layout.highest(axis), static_cast<std::int32_t>(high));
  }
  return apart ? fine.layout : KeyLayout(fine.layout.axes(), lowest, highest);
}

}  // namespace voxshift
