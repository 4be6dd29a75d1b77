// Contract of coordinates: what a backend provides to sort, look up and pair them.
#pragma once

#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/level.h>
#include <voxshift/tensor/reduce.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>
#include <span>

namespace voxshift {

/// One slot of the open-addressing table: an empty one has row -1.
struct HashSlot {
  std::int64_t key;
  std::int32_t row;
};

/// Kernels on coordinates. Scratch comes from context.arena and is given back. Same results on every run and for any
/// number of threads.
class CoordinateKernels {
 public:
  virtual ~CoordinateKernels() = default;

  /// lowest[a], highest[a] = extremes of column a of coords int32 [n, axes]; n > 0.
  virtual void bounds(const Context&, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* lowest,
                      std::int32_t* highest) const = 0;

  /// keys[i] = layout.pack(coords[i])
  virtual void pack(const Context&, const std::int32_t* coords, std::int64_t n, const KeyLayout&,
                    std::int64_t* keys) const = 0;

  /// coords[i] = layout.unpack(keys[i])
  virtual void unpack(const Context&, const std::int64_t* keys, std::int64_t n, const KeyLayout&,
                      std::int32_t* coords) const = 0;

  /// batches[i] = the batch index of row i.
  virtual void batches(const Context&, const Level&, std::int32_t* batches) const = 0;

  /// The keys of every coordinate of the layout's box, ascending; batch 0 .. highest(0).
  virtual void box_keys(const Context&, const KeyLayout&, std::int64_t* keys) const = 0;

  /// Sorts `keys` and drops repeats in place; returns how many remain. `bits` bounds the keys. Where given, first[u] is
  /// the lowest index that held unique key u and inverse[i] is the place of key i among the unique ones.
  virtual std::int64_t sort_unique(const Context&, std::int64_t* keys, std::int64_t n, int bits, std::int32_t* first,
                                   std::int32_t* inverse) const = 0;

  /// Whether values[i] <= values[i + 1] for all i.
  virtual bool ascending(const Context&, const std::int32_t* values, std::int64_t n) const = 0;

  /// How candidates() moves a coordinate.
  enum class Move {
    kFloor,  ///< floor(c / stride)
    kExact,  ///< (c - offset_k) / stride for every k that divides it: outputs that a tap of c reaches
    kScale,  ///< c * stride + offset_k for every k: inputs that an output c reaches
  };

  /// Keys in layout `to` of all coordinates that `move` makes of the level and that lie in to's box: unsorted, with
  /// repeats. Writes at most count (kFloor) or count * volume keys to `out` and returns how many.
  virtual std::int64_t candidates(const Context&, const Level&, const Window&, Move move, const KeyLayout& to,
                                  std::int64_t* out) const = 0;

  /// levels[i] = unique(floor(fine / strides[i])): its layout is given; keys, in context.arena, and count are set.
  /// Every stride is a multiple of the one before.
  virtual void floor_levels(const Context&, const Level& fine, std::span<const Window::Extents> strides,
                            std::span<Level> levels) const = 0;

  /// views[r]: for every offset k of request r the pairs (i, o) with fine[i] = coarse[o] * stride + offset_k, in both
  /// directions, in memory of `result`, which is not context.arena.
  virtual void maps(const Context&, std::span<const MapRequest> requests, Arena& result,
                    std::span<KernelMapViews> views) const = 0;

  /// Pairs of the map, all offsets together.
  virtual std::int64_t pair_count(const Context&, const KernelMapView&) const = 0;

  /// pairs [pair_count, 3] = (offset, in row, out row), by offset, then by out row.
  virtual void list_pairs(const Context&, const KernelMapView&, std::int32_t* pairs) const = 0;

  /// Fills `slots` [capacity], a power of two of at least 2 * count, with the level's keys.
  virtual void build_table(const Context&, const Level&, HashSlot* slots, std::int64_t capacity) const = 0;

  /// rows[i] = row of coords[i] (int32 [n, axes]) in the table, -1 where it is not there.
  virtual void look_up(const Context&, const HashSlot* slots, std::int64_t capacity, const KeyLayout&,
                       const std::int32_t* coords, std::int64_t n, std::int32_t* rows) const = 0;

  /// out[s] = reduction of the rows in[i] with segment[i] == s, taken in ascending i; 0 where there are none. segment
  /// [in.count] holds values below out.count; negative ones take no part; kNone is not taken. Features are f32, f16,
  /// bf16 or i8, each view of a dtype of its own. Sums of many rows are those of partial sums. That of up
  /// to 2^24 rows of i8 is float(sum of whole numbers, exact) * scale.
  virtual void reduce(const Context&, const ConstRowView& in, const std::int32_t* segment, Reduce,
                      const RowView& out) const = 0;

  /// out[i] = row i's share of grad[segment[i]], the gradient of reduce(in): all of it for a sum, 1 / the rows of the
  /// segment for a mean; all of it for the first row, or, channel by channel, for the first row that has the maximum,
  /// and 0 for the others. 0 for rows that take no part. `in` is read for the maximum only. All views have one dtype,
  /// f32 or, on CUDA, f16 or bf16.
  virtual void reduce_backward(const Context&, const ConstRowView& in, const std::int32_t* segment, Reduce,
                               const ConstRowView& grad, const RowView& out) const = 0;
};

namespace cpu {
const CoordinateKernels& coordinate_kernels();
}
namespace cuda {
const CoordinateKernels& coordinate_kernels();
}

inline const CoordinateKernels& coordinate_kernels(Device device) {
  return on<CoordinateKernels>(device, cpu::coordinate_kernels, cuda::coordinate_kernels);
}

}  // namespace voxshift
