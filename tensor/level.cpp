#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/level.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>
#include <limits>

namespace voxshift {
namespace {

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }

std::int32_t saturate(std::int64_t c) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int32_t>::min();
  constexpr std::int64_t kHighest = std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>(std::clamp(c, kLowest, kHighest));
}

// The box of a level after `lowest` and `highest` of every spatial axis were mapped; batches stay.
template <class Map>
KeyLayout mapped_layout(const KeyLayout& from, Map&& map) {
  Coordinate lowest{}, highest{};
  lowest[0] = from.lowest(0);
  highest[0] = from.highest(0);
  for (int axis = 1; axis < from.axes(); ++axis) {
    const auto [low, high] = map(axis - 1, std::int64_t{from.lowest(axis)}, std::int64_t{from.highest(axis)});
    lowest[static_cast<std::size_t>(axis)] = saturate(low);
    highest[static_cast<std::size_t>(axis)] = saturate(high);
  }
  return {from.axes(), lowest, highest};
}

Level unique_candidates(const char* op, const Context& context, const Level& from, const Window& window,
                        CoordinateKernels::Move move, const KeyLayout& layout) {
  check_size(op, "rows:", from.count, window.volume());
  const auto& kernels = coordinate_kernels(context.device);
  auto* keys = context.arena->allocate<std::int64_t>(from.count * window.volume());
  const std::int64_t n = kernels.candidates(context, from, window, move, layout, keys);
  return {layout, keys, kernels.sort_unique(context, keys, n, layout.used_bits(), nullptr, nullptr)};
}

}  // namespace

Level make_level(const Context& context, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* first,
                 std::int32_t* inverse) {
  const auto& kernels = coordinate_kernels(context.device);
  Coordinate lowest{}, highest{};
  if (n > 0) kernels.bounds(context, coords, n, axes, lowest.data(), highest.data());
  const KeyLayout layout(axes, lowest, highest);
  auto* keys = context.arena->allocate<std::int64_t>(n);
  kernels.pack(context, coords, n, layout, keys);
  return {layout, keys, kernels.sort_unique(context, keys, n, layout.used_bits(), first, inverse)};
}

Level coarser_level(const Context& context, const Level& fine, const Window& window,
                    const std::optional<Window::Extents>& shape) {
  if (window.semantics == Semantics::kFloor) {
    Level coarse;
    coarser_levels(context, fine, {&window.stride, 1}, {&coarse, 1});
    return coarse;
  }
  check(shape.has_value(),
        "[conv] bounded semantics need a tensor with a shape; make it with SparseTensor(..., shape=)");
  const Window::Extents out = bounded_shape(*shape, window);
  const auto layout = mapped_layout(fine.layout, [&](int d, std::int64_t, std::int64_t) {
    return std::pair(std::int64_t{0}, std::int64_t{out[static_cast<std::size_t>(d)]} - 1);
  });
  return unique_candidates("conv", context, fine, window, CoordinateKernels::Move::kExact, layout);
}

void coarser_levels(const Context& context, const Level& fine, std::span<const Window::Extents> strides,
                    std::span<Level> levels) {
  for (std::size_t i = 0; i < levels.size(); ++i)
    levels[i].layout = mapped_layout(fine.layout, [&](int d, std::int64_t low, std::int64_t high) {
      const std::int64_t stride = strides[i][static_cast<std::size_t>(d)];
      return std::pair(floor_div(low, stride), floor_div(high, stride));
    });
  coordinate_kernels(context.device).floor_levels(context, fine, strides, levels);
}

Level finer_level(const Context& context, const Level& coarse, const Window& window,
                  const std::optional<Window::Extents>& shape) {
  constexpr const char* kOp = "generative_conv_transpose";
  const bool bounded = window.semantics == Semantics::kBounded;
  check(!bounded || shape.has_value(), "[", kOp,
        "] bounded semantics need a tensor with a shape; make it with SparseTensor(..., shape=)");
  const Window::Extents extent = bounded ? finer_shape(*shape, window) : Window::Extents{};
  const Window::Extents lowest = window.offset(0), highest = window.offset(window.volume() - 1);
  const auto layout = mapped_layout(coarse.layout, [&](int d, std::int64_t low, std::int64_t high) {
    const auto axis = static_cast<std::size_t>(d);
    if (bounded) return std::pair(std::int64_t{0}, std::int64_t{extent[axis]} - 1);
    return std::pair(low * window.stride[axis] + lowest[axis], high * window.stride[axis] + highest[axis]);
  });
  return unique_candidates(kOp, context, coarse, window, CoordinateKernels::Move::kScale, layout);
}

Level union_level(const Context& context, const Level& first, const Level& second, std::int32_t* places) {
  KeyLayout layout = first.count > 0 ? first.layout : second.layout;
  if (first.count > 0 && second.count > 0) {
    Coordinate lowest{}, highest{};
    for (int axis = 0; axis < layout.axes(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      lowest[a] = std::min(first.layout.lowest(axis), second.layout.lowest(axis));
      highest[a] = std::max(first.layout.highest(axis), second.layout.highest(axis));
    }
    layout = {layout.axes(), lowest, highest};
  }
  const auto& kernels = coordinate_kernels(context.device);
  const std::int64_t total = first.count + second.count;
  check_size("union_add", "rows:", total, layout.axes());
  auto* keys = context.arena->allocate<std::int64_t>(total);
  auto* coords = context.arena->allocate<std::int32_t>(total * layout.axes());
  kernels.unpack(context, first.keys, first.count, first.layout, coords);
  kernels.unpack(context, second.keys, second.count, second.layout, coords + first.count * layout.axes());
  kernels.pack(context, coords, total, layout, keys);
  return {layout, keys, kernels.sort_unique(context, keys, total, layout.used_bits(), nullptr, places)};
}

Window::Extents bounded_shape(const Window::Extents& shape, const Window& window) {
  Window::Extents out{1, 1, 1, 1};
  for (std::size_t d = 0; d < static_cast<std::size_t>(window.dims); ++d) {
    const std::int64_t span = std::int64_t{shape[d]} + 2 * std::int64_t{window.pad[d]} -
                              std::int64_t{window.dilation[d]} * (window.size[d] - 1) - 1;
    check(span >= 0, "[conv] extent ", shape[d], " of axis ", d, " is smaller than the window that covers ",
          std::int64_t{window.dilation[d]} * (window.size[d] - 1) + 1, " with padding ", window.pad[d]);
    check(span / window.stride[d] < INT32_MAX, "[conv] extent ", shape[d], " of axis ", d, " with padding ",
          window.pad[d], " makes an output of more than 2^31 - 1 cells");
    out[d] = static_cast<std::int32_t>(span / window.stride[d] + 1);
  }
  return out;
}

Window::Extents finer_shape(const Window::Extents& shape, const Window& window) {
  Window::Extents out{1, 1, 1, 1};
  for (std::size_t d = 0; d < static_cast<std::size_t>(window.dims); ++d) {
    const std::int64_t extent = std::int64_t{shape[d] - 1} * window.stride[d] - 2 * std::int64_t{window.pad[d]} +
                                std::int64_t{window.dilation[d]} * (window.size[d] - 1) + 1 + window.output_pad[d];
    check(extent >= 1 && extent <= INT32_MAX, "[generative_conv_transpose] extent ", shape[d], " of axis ", d,
          " would become ", extent, ", expected 1 to 2^31 - 1");
    out[d] = static_cast<std::int32_t>(extent);
  }
  return out;
}

}  // namespace voxshift
