// The coordinates of one resolution: ascending unique keys in an arena's memory, and how coarser and finer ones follow.
#pragma once

#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/key_layout.h>

#include <cstdint>
#include <optional>
#include <span>

namespace voxshift {

struct Context;

/// Row i of a level is the coordinate layout.unpack(keys[i]). Rows are unique and in lexicographic order.
struct Level {
  KeyLayout layout;
  const std::int64_t* keys = nullptr;
  std::int64_t count = 0;
};

/// A kernel map that is wanted: pairs (i, o) with fine[i] = coarse[o] * stride + offset_k.
struct MapRequest {
  Level fine, coarse;
  Window window;
};

/// The level of coords int32 [n, axes], in context.arena. Where given, first[u] (room for n) is the lowest index that
/// held row u and inverse[i] the row of coordinate i.
Level make_level(const Context&, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* first = nullptr,
                 std::int32_t* inverse = nullptr);

/// Output coordinates of a convolution with this window, in context.arena. `shape` is the extent per spatial axis that
/// kBounded needs (InvalidArgument without it).
Level coarser_level(const Context&, const Level&, const Window&, const std::optional<Window::Extents>& shape);

/// levels[i] = unique(floor(fine / strides[i])), the outputs of kFloor windows one after the other, every stride a
/// multiple of the one before; in context.arena.
void coarser_levels(const Context&, const Level& fine, std::span<const Window::Extents> strides,
                    std::span<Level> levels);

/// Coordinates c * stride + offset_k of all offsets: the output of a generative transposed convolution, in
/// context.arena; with kBounded those within finer_shape of `shape`, the extent of the level's grid (InvalidArgument
/// without it).
Level finer_level(const Context&, const Level&, const Window&, const std::optional<Window::Extents>& shape);

/// The coordinates of either, in context.arena; places[i] is the row of first's row i, then of second's.
Level union_level(const Context&, const Level& first, const Level& second, std::int32_t* places);

/// Extent of the output of a kBounded convolution: floor((extent + 2 pad - dilation (size - 1) - 1) / stride) + 1.
Window::Extents bounded_shape(const Window::Extents& shape, const Window&);

/// And of a transposed one: (extent - 1) stride - 2 pad + dilation (size - 1) + 1 + output_pad.
Window::Extents finer_shape(const Window::Extents& shape, const Window&);

}  // namespace voxshift
