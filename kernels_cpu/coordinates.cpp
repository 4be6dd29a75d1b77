// Coordinates on the CPU: packing, sorting, moving between resolutions, exact hashing, segmented reduction.
#include <voxshift/kernels_cpu/kernel_map.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/radix_sort.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <cstring>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // rows of one task where a row costs a few nanoseconds

// Finalizer of splitmix64: every key bit reaches every slot bit.
std::uint64_t hash(std::int64_t key) {
  auto x = static_cast<std::uint64_t>(key);
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return x ^ x >> 31;
}

std::int32_t floor_div(std::int32_t a, std::int32_t b) { return a / b - (a % b < 0); }

// The coordinate that `move` makes of c, or false where there is none in the box of `to`.
bool moved(const Coordinate& c, const Window& window, CoordinateKernels::Move move, const Window::Extents& offset,
           const KeyLayout& to, Coordinate& result) {
  result[0] = c[0];
  for (std::size_t d = 0; d < static_cast<std::size_t>(window.dims); ++d) {
    const std::int32_t stride = window.stride[d];
    switch (move) {
      case CoordinateKernels::Move::kFloor:
        result[d + 1] = floor_div(c[d + 1], stride);
        break;
      case CoordinateKernels::Move::kExact: {
        const std::int64_t difference = std::int64_t{c[d + 1]} - offset[d];
        if (difference % stride != 0) return false;
        result[d + 1] = static_cast<std::int32_t>(difference / stride);
        break;
      }
      case CoordinateKernels::Move::kScale: {
        const std::int64_t scaled = std::int64_t{c[d + 1]} * stride + offset[d];
        result[d + 1] = static_cast<std::int32_t>(scaled);
        if (scaled != result[d + 1]) return false;
        break;
      }
    }
  }
  return to.contains(result.data());
}

// The extremes of coordinates.
struct Box {
  Coordinate lowest, highest;

  void include(const std::int32_t* c, int axes) {
    for (int axis = 0; axis < axes; ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      lowest[a] = std::min(lowest[a], c[axis]);
      highest[a] = std::max(highest[a], c[axis]);
    }
  }
};

class CpuCoordinateKernels final : public CoordinateKernels {
 public:
  void bounds(const Context& context, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* lowest,
              std::int32_t* highest) const override {
    const std::int64_t pieces = (n + kGrain - 1) / kGrain;
    const Arena::Mark mark = context.arena->mark();
    auto* boxes = context.arena->allocate<Box>(pieces);
    parallel_ranges(context.threads, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
      Box box{};
      std::copy_n(coords + first * axes, axes, box.lowest.data());
      box.highest = box.lowest;
      for (std::int64_t i = first; i < last; ++i) box.include(coords + i * axes, axes);
      boxes[piece] = box;
    });
    for (std::int64_t piece = 1; piece < pieces; ++piece) {
      boxes[0].include(boxes[piece].lowest.data(), axes);
      boxes[0].include(boxes[piece].highest.data(), axes);
    }
    std::copy_n(boxes[0].lowest.data(), axes, lowest);
    std::copy_n(boxes[0].highest.data(), axes, highest);
    context.arena->rewind(mark);
  }

  void pack(const Context& context, const std::int32_t* coords, std::int64_t n, const KeyLayout& layout,
            std::int64_t* keys) const override {
    parallel_ranges(context.threads, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) keys[i] = layout.pack(coords + i * layout.axes());
    });
  }

  void unpack(const Context& context, const std::int64_t* keys, std::int64_t n, const KeyLayout& layout,
              std::int32_t* coords) const override {
    parallel_ranges(context.threads, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) layout.unpack(keys[i], coords + i * layout.axes());
    });
  }

  std::int64_t sort_unique(const Context& context, std::int64_t* keys, std::int64_t n, int bits, std::int32_t* first,
                           std::int32_t* inverse) const override {
    if (std::adjacent_find(keys, keys + n, std::greater_equal<>()) == keys + n) {
      for (std::int64_t i = 0; i < n; ++i) {
        if (first) first[i] = static_cast<std::int32_t>(i);
        if (inverse) inverse[i] = static_cast<std::int32_t>(i);
      }
      return n;
    }
    Arena& arena = *context.arena;
    const Arena::Mark mark = arena.mark();
    std::int64_t unique = 0;
    if (first == nullptr && inverse == nullptr) {
      const auto* sorted = radix_sort(context.threads, arena, keys, arena.allocate<std::int64_t>(n), n, bits);
      unique = std::unique_copy(sorted, sorted + n, keys) - keys;
    } else {
      auto* items = arena.allocate<IndexedKey>(n);
      for (std::int64_t i = 0; i < n; ++i) items[i] = {keys[i], static_cast<std::int32_t>(i)};
      const auto* sorted = radix_sort(context.threads, arena, items, arena.allocate<IndexedKey>(n), n, bits);
      for (std::int64_t i = 0; i < n; ++i) {
        if (i == 0 || sorted[i].key != sorted[i - 1].key) {
          if (first) first[unique] = sorted[i].index;
          keys[unique++] = sorted[i].key;
        }
        if (inverse) inverse[sorted[i].index] = static_cast<std::int32_t>(unique - 1);
      }
    }
    arena.rewind(mark);
    return unique;
  }

  std::int64_t candidates(const Context& context, const Level& level, const Window& window, Move move,
                          const KeyLayout& to, std::int64_t* out) const override {
    const int volume = move == Move::kFloor ? 1 : window.volume();
    const std::int64_t pieces = (level.count + kGrain - 1) / kGrain;
    const Arena::Mark mark = context.arena->mark();
    auto* counts = context.arena->allocate<std::int64_t>(pieces);
    parallel_ranges(context.threads, level.count, kGrain,
                    [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
                      std::int64_t* const start = out + first * volume;
                      std::int64_t* next = start;
                      Coordinate c, result;
                      for (int k = 0; k < volume; ++k) {
                        const Window::Extents offset = window.offset(k);
                        for (std::int64_t i = first; i < last; ++i) {
                          level.layout.unpack(level.keys[i], c.data());
                          if (!moved(c, window, move, offset, to, result)) continue;
                          const std::int64_t key = to.pack(result.data());
                          if (next == start || next[-1] != key) *next++ = key;  // neighbours often share a cell
                        }
                      }
                      counts[piece] = next - start;
                    });
    std::int64_t total = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const std::int64_t* from = out + piece * kGrain * volume;
      if (from != out + total) std::memmove(out + total, from, static_cast<std::size_t>(counts[piece]) * sizeof(*out));
      total += counts[piece];
    }
    context.arena->rewind(mark);
    return total;
  }

  KernelMapViews map(const Context& context, const Level& fine, const Level& coarse, const Window& window,
                     Arena& result) const override {
    return kernel_map(context, fine, coarse, window, result);
  }

  void build_table(const Context&, const Level& level, HashSlot* slots, std::int64_t capacity) const override {
    for (std::int64_t s = 0; s < capacity; ++s) slots[s] = {0, -1};
    const auto mask = static_cast<std::uint64_t>(capacity - 1);
    for (std::int64_t i = 0; i < level.count; ++i) {
      std::uint64_t s = hash(level.keys[i]) & mask;
      while (slots[s].row >= 0) s = (s + 1) & mask;
      slots[s] = {level.keys[i], static_cast<std::int32_t>(i)};
    }
  }

  void look_up(const Context& context, const HashSlot* slots, std::int64_t capacity, const KeyLayout& layout,
               const std::int32_t* coords, std::int64_t n, std::int32_t* rows) const override {
    const auto mask = static_cast<std::uint64_t>(capacity - 1);
    parallel_ranges(context.threads, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) {
        rows[i] = -1;
        const std::int32_t* c = coords + i * layout.axes();
        if (!layout.contains(c)) continue;
        const std::int64_t key = layout.pack(c);
        for (std::uint64_t s = hash(key) & mask; slots[s].row >= 0; s = (s + 1) & mask)
          if (slots[s].key == key) {
            rows[i] = slots[s].row;
            break;
          }
      }
    });
  }

  void reduce(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
              const RowView& out) const override {
    const Arena::Mark mark = context.arena->mark();
    auto* begin = context.arena->allocate<std::int64_t>(out.count + 1);
    auto* order = context.arena->allocate<std::int32_t>(in.count);
    std::fill_n(begin, out.count + 1, 0);
    for (std::int64_t i = 0; i < in.count; ++i) ++begin[segment[i] + 1];
    for (std::int64_t s = 0; s < out.count; ++s) begin[s + 1] += begin[s];
    for (std::int64_t i = 0; i < in.count; ++i) order[begin[segment[i]]++] = static_cast<std::int32_t>(i);
    // begin[s] is now where segment s ends
    parallel_ranges(context.threads, out.count, 1024, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t s = first; s < last; ++s)
        reduce_segment(in, order + (s == 0 ? 0 : begin[s - 1]), order + begin[s], reduce,
                       static_cast<float*>(out.base) + s * out.row_stride);
    });
    context.arena->rewind(mark);
  }

 private:
  static void reduce_segment(const ConstRowView& in, const std::int32_t* row, const std::int32_t* end, Reduce reduce,
                             float* out) {
    std::fill_n(out, in.channels, 0.0f);
    const auto rows = static_cast<float>(end - row);
    for (bool is_first = true; row != end; ++row, is_first = false) {
      const float* x = static_cast<const float*>(in.base) + *row * in.row_stride;
      for (std::int64_t c = 0; c < in.channels; ++c) {
        if (is_first) {
          out[c] = x[c];
        } else if (reduce == Reduce::kMax) {
          out[c] = std::max(out[c], x[c]);
        } else if (reduce != Reduce::kFirst) {
          out[c] += x[c];
        }
      }
    }
    if (reduce == Reduce::kMean && rows > 1)
      for (std::int64_t c = 0; c < in.channels; ++c) out[c] /= rows;
  }
};

}  // namespace

const CoordinateKernels& coordinate_kernels() {
  static const CpuCoordinateKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
