// All levels follow from the finest one, so that one sort and one reading of their sizes serve them all: keys begin
// with the number of their level.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/floor_levels.h>

#include <algorithm>
#include <bit>

namespace voxshift::cuda {
namespace {

constexpr std::size_t kMostAtOnce = 8;

// Keys of floor(fine / stride) in layout `to`, behind the prefix.
void floor_keys(const Queue& queue, const Level& fine, const Window::Extents& stride, const KeyLayout& to,
                std::int64_t prefix, std::int64_t* keys) {
  for_each(queue, fine.count, [=, from = fine.layout, old = fine.keys] __device__(std::int64_t i) {
    std::int32_t c[kMaxAxes];
    from.unpack(old[i], c);
    for (int axis = 1; axis < from.axes(); ++axis) {
      const std::int32_t s = stride[static_cast<std::size_t>(axis) - 1];
      c[axis] = c[axis] / s - (c[axis] % s < 0);
    }
    keys[i] = prefix | to.pack(c);
  });
}

// keys = the unique ones of `sorted`, [levels * n], without their prefix; ends[l] = how many belong to levels 0 .. l.
void unique_keys(const Queue& queue, const std::int64_t* sorted, std::int64_t n, std::int64_t levels, int bits,
                 std::int64_t* keys, std::int32_t* ends) {
  auto* is_new = queue.arena().allocate<std::int32_t>(levels * n);
  auto* places = queue.arena().allocate<std::int32_t>(levels * n);
  for_each(queue, levels * n, [=] __device__(std::int64_t i) { is_new[i] = i == 0 || sorted[i] != sorted[i - 1]; });
  inclusive_sum(queue, is_new, places, levels * n);
  for_each(queue, levels * n, [=] __device__(std::int64_t i) {
    if (is_new[i] != 0) keys[places[i] - 1] = sorted[i] & ((std::int64_t{1} << bits) - 1);
    if ((i + 1) % n == 0) ends[i / n] = places[i];
  });
}

}  // namespace

void floor_levels(const Queue& queue, const Level& fine, std::span<const Window::Extents> strides,
                  std::span<Level> levels) {
  if (levels.size() > kMostAtOnce) {
    floor_levels(queue, fine, strides.first(kMostAtOnce), levels.first(kMostAtOnce));
    return floor_levels(queue, fine, strides.subspan(kMostAtOnce), levels.subspan(kMostAtOnce));
  }
  const auto count = static_cast<std::int64_t>(levels.size());
  for (Level& level : levels) level.count = 0;
  if (levels.empty() || fine.count == 0) return;
  int bits = 1;
  for (const Level& level : levels) bits = std::max(bits, level.layout.used_bits());
  const auto level_bits = static_cast<int>(std::bit_width(levels.size() - 1));
  if (bits + level_bits > 63) {  // one by one
    for (std::size_t l = 0; l < levels.size(); ++l)
      floor_levels(queue, fine, strides.subspan(l, 1), levels.subspan(l, 1));
    return;
  }
  Arena& arena = queue.arena();
  auto* keys = arena.allocate<std::int64_t>(count * fine.count);
  const Arena::Mark mark = arena.mark();
  auto* sorted = arena.allocate<std::int64_t>(count * fine.count);
  auto* ends = arena.allocate<std::int32_t>(count);
  for (std::size_t l = 0; l < levels.size(); ++l)
    floor_keys(queue, fine, strides[l], levels[l].layout, static_cast<std::int64_t>(l) << bits,
               keys + static_cast<std::int64_t>(l) * fine.count);
  sort_keys(queue, keys, sorted, count * fine.count, bits + level_bits);
  unique_keys(queue, sorted, fine.count, count, bits, keys, ends);
  std::int32_t host_ends[kMostAtOnce];
  queue.to_host(host_ends, ends, levels.size() * sizeof(*ends));
  std::int32_t first = 0;
  for (std::size_t l = 0; l < levels.size(); ++l) {
    levels[l].keys = keys + first;
    levels[l].count = host_ends[l] - first;
    first = host_ends[l];
  }
  arena.rewind(mark);
}

}  // namespace voxshift::cuda
