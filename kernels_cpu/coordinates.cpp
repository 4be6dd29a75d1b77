// Coordinates on the CPU: packing, sorting, moving between resolutions, exact hashing, segmented reduction.
#include <voxshift/kernels_cpu/hash_table.h>
#include <voxshift/kernels_cpu/kernel_map.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pool_backward.h>
#include <voxshift/kernels_cpu/radix_sort.h>
#include <voxshift/kernels_cpu/reduce.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // rows of one task where a row costs a few nanoseconds

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

// What a sort moves: the key; the key and the index it came from in one word, where they fit; or both.
struct KeyOnly {
  using Item = std::int64_t;
  static Item item(std::int64_t key, std::int64_t) { return key; }
  static std::int64_t key(Item item) { return item; }
  static std::int32_t index(Item) { return 0; }
};

struct KeyBesideIndex {
  using Item = std::uint64_t;
  int index_bits;

  Item item(std::int64_t key, std::int64_t index) const {
    return static_cast<Item>(key) << index_bits | static_cast<Item>(index);
  }
  std::int64_t key(Item item) const { return static_cast<std::int64_t>(item >> index_bits); }
  std::int32_t index(Item item) const { return static_cast<std::int32_t>(item & ((Item{1} << index_bits) - 1)); }
};

struct KeyAndIndex {
  struct Item {
    std::int64_t key;
    std::int32_t index;
  };
  static Item item(std::int64_t key, std::int64_t index) { return {key, static_cast<std::int32_t>(index)}; }
  static std::int64_t key(const Item& item) { return item.key; }
  static std::int32_t index(const Item& item) { return item.index; }
};

// CoordinateKernels::sort_unique by items of one form.
template <class Form>
std::int64_t sort_unique_as(const Context& context, const Form& form, std::int64_t* keys, std::int64_t n, int bits,
                            std::int32_t* first, std::int32_t* inverse) {
  using Item = typename Form::Item;
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  auto* items = arena.allocate<Item>(n);
  parallel_ranges(context, n, kGrain, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
    for (std::int64_t i = begin; i < end; ++i) items[i] = form.item(keys[i], i);
  });
  const auto* sorted =
      radix_sort(context, items, arena.allocate<Item>(n), n, bits, [form](const Item& item) { return form.key(item); });
  const auto is_new = [form, sorted](std::int64_t i) {
    return i == 0 || form.key(sorted[i]) != form.key(sorted[i - 1]);
  };
  const std::int64_t pieces = (n + kGrain - 1) / kGrain;
  auto* starts = arena.allocate<std::int64_t>(pieces);  // unique keys before each piece
  parallel_ranges(context, n, kGrain, [&](std::int64_t begin, std::int64_t end, std::int64_t piece) {
    starts[piece] = 0;
    for (std::int64_t i = begin; i < end; ++i) starts[piece] += is_new(i);
  });
  std::int64_t unique = 0;
  for (std::int64_t piece = 0; piece < pieces; ++piece) unique += std::exchange(starts[piece], unique);
  parallel_ranges(context, n, kGrain, [&](std::int64_t begin, std::int64_t end, std::int64_t piece) {
    std::int64_t next = starts[piece];
    for (std::int64_t i = begin; i < end; ++i) {
      if (is_new(i)) {
        if (first) first[next] = form.index(sorted[i]);
        keys[next++] = form.key(sorted[i]);
      }
      if (inverse) inverse[form.index(sorted[i])] = static_cast<std::int32_t>(next - 1);
    }
  });
  arena.rewind(mark);
  return unique;
}

class CpuCoordinateKernels final : public CoordinateKernels {
 public:
  void bounds(const Context& context, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* lowest,
              std::int32_t* highest) const override {
    const std::int64_t pieces = (n + kGrain - 1) / kGrain;
    const Arena::Mark mark = context.arena->mark();
    auto* boxes = context.arena->allocate<Box>(pieces);
    parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
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
    parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) keys[i] = layout.pack(coords + i * layout.axes());
    });
  }

  void unpack(const Context& context, const std::int64_t* keys, std::int64_t n, const KeyLayout& layout,
              std::int32_t* coords) const override {
    parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) layout.unpack(keys[i], coords + i * layout.axes());
    });
  }

  void batches(const Context& context, const Level& level, std::int32_t* batches) const override {
    parallel_ranges(context, level.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      std::int32_t c[kMaxAxes];
      for (std::int64_t i = first; i < last; ++i) {
        level.layout.unpack(level.keys[i], c);
        batches[i] = c[0];
      }
    });
  }

  void box_keys(const Context&, const KeyLayout& layout, std::int64_t* keys) const override {
    Coordinate c;
    for (int axis = 0; axis < layout.axes(); ++axis) c[static_cast<std::size_t>(axis)] = layout.lowest(axis);
    for (;;) {
      *keys++ = layout.pack(c.data());
      int axis = layout.axes() - 1;  // counts up, the last axis fastest
      while (axis >= 0 && c[static_cast<std::size_t>(axis)] == layout.highest(axis)) {
        c[static_cast<std::size_t>(axis)] = layout.lowest(axis);
        --axis;
      }
      if (axis < 0) return;
      ++c[static_cast<std::size_t>(axis)];
    }
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
    if (first == nullptr && inverse == nullptr)
      return sort_unique_as(context, KeyOnly(), keys, n, bits, first, inverse);
    const KeyBesideIndex beside{static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n - 1)))};
    if (bits + beside.index_bits <= 64) return sort_unique_as(context, beside, keys, n, bits, first, inverse);
    return sort_unique_as(context, KeyAndIndex(), keys, n, bits, first, inverse);
  }

  bool ascending(const Context&, const std::int32_t* values, std::int64_t n) const override {
    return std::is_sorted(values, values + n);
  }

  std::int64_t candidates(const Context& context, const Level& level, const Window& window, Move move,
                          const KeyLayout& to, std::int64_t* out) const override {
    const int volume = move == Move::kFloor ? 1 : window.volume();
    const std::int64_t pieces = (level.count + kGrain - 1) / kGrain;
    const Arena::Mark mark = context.arena->mark();
    auto* counts = context.arena->allocate<std::int64_t>(pieces);
    parallel_ranges(context, level.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t piece) {
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

  void floor_levels(const Context& context, const Level& fine, std::span<const Window::Extents> strides,
                    std::span<Level> levels) const override {
    for (std::size_t i = 0; i < levels.size(); ++i) {  // each from the one before, which has fewer rows
      const Level& from = i > 0 ? levels[i - 1] : fine;
      Window window;
      window.dims = fine.layout.axes() - 1;
      window.stride = strides[i];
      for (std::size_t d = 0; i > 0 && d < window.stride.size(); ++d) window.stride[d] /= strides[i - 1][d];
      auto* keys = context.arena->allocate<std::int64_t>(from.count);
      const std::int64_t n = candidates(context, from, window, Move::kFloor, levels[i].layout, keys);
      levels[i].keys = keys;
      levels[i].count = sort_unique(context, keys, n, levels[i].layout.used_bits(), nullptr, nullptr);
    }
  }

  void maps(const Context& context, std::span<const MapRequest> requests, Arena& result,
            std::span<KernelMapViews> views) const override {
    for (std::size_t r = 0; r < requests.size(); ++r)
      views[r] = kernel_map(context, requests[r].fine, requests[r].coarse, requests[r].window, result);
  }

  std::int64_t pair_count(const Context&, const KernelMapView& map) const override { return cpu::pair_count(map); }

  void list_pairs(const Context&, const KernelMapView& map, std::int32_t* pairs) const override {
    cpu::list_pairs(map, pairs);
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
    parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int32_t* c = coords + i * layout.axes();
        rows[i] = layout.contains(c) ? find(slots, capacity, layout.pack(c)) : -1;
      }
    });
  }

  void reduce(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
              const RowView& out) const override {
    cpu::reduce(context, in, segment, reduce, out);
  }

  void reduce_backward(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
                       const ConstRowView& grad, const RowView& out) const override {
    cpu::reduce_backward(context, in, segment, reduce, grad, out);
  }
};

}  // namespace

const CoordinateKernels& coordinate_kernels() {
  choose_target();
  static const CpuCoordinateKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
