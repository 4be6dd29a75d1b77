// Coordinates on CUDA: packing, sorting, moving between resolutions, exact hashing, segmented reduction.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/floor_levels.h>
#include <voxshift/kernels_cuda/hash_table.h>
#include <voxshift/kernels_cuda/kernel_map.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/segments.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <array>
#include <climits>

namespace voxshift::cuda {
namespace {

constexpr int kBoundsThreads = 256;

// extremes [2 * axes]: lowest, then highest, of rows of coordinates; enters with the opposite extremes.
__global__ void bounds_kernel(const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* extremes) {
  __shared__ std::int32_t lowest[kMaxAxes], highest[kMaxAxes];
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kMaxAxes) {
    lowest[thread] = INT_MAX;
    highest[thread] = INT_MIN;
  }
  __syncthreads();
  std::int32_t low[kMaxAxes], high[kMaxAxes];
  for (int a = 0; a < kMaxAxes; ++a) {
    low[a] = INT_MAX;
    high[a] = INT_MIN;
  }
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    for (int a = 0; a < kMaxAxes; ++a) {
      if (a >= axes) break;
      const std::int32_t c = coords[i * axes + a];
      if (c < low[a]) low[a] = c;
      if (c > high[a]) high[a] = c;
    }
  for (int a = 0; a < kMaxAxes; ++a) {
    if (a >= axes) break;
    atomicMin(&lowest[a], low[a]);
    atomicMax(&highest[a], high[a]);
  }
  __syncthreads();
  if (thread < axes) {
    atomicMin(&extremes[thread], lowest[thread]);
    atomicMax(&extremes[axes + thread], highest[thread]);
  }
}

// The coordinate that `move` makes of c, or false where there is none in the box of `to`.
__device__ inline bool moved(const std::int32_t* c, const Window& window, CoordinateKernels::Move move,
                             const Window::Extents& offset, const KeyLayout& to, std::int32_t* result) {
  result[0] = c[0];
  for (int axis = 1; axis < to.axes(); ++axis) {
    const auto d = static_cast<std::size_t>(axis - 1);
    const std::int32_t stride = window.stride[d];
    if (move == CoordinateKernels::Move::kFloor) {
      result[axis] = c[axis] / stride - (c[axis] % stride < 0);
    } else if (move == CoordinateKernels::Move::kExact) {
      const std::int64_t difference = std::int64_t{c[axis]} - offset[d];
      if (difference % stride != 0) return false;
      result[axis] = static_cast<std::int32_t>(difference / stride);
    } else {
      const std::int64_t scaled = std::int64_t{c[axis]} * stride + offset[d];
      result[axis] = static_cast<std::int32_t>(scaled);
      if (scaled != result[axis]) return false;
    }
  }
  return to.contains(result);
}

constexpr int kSumThreads = 32;            // partial sums side by side, and channels of a block
constexpr std::int64_t kPartialRows = 64;  // a sum is one of partial sums of so many rows, whichever kernel takes it

template <class In>
__device__ NumberSum<In> partial_sum(const In& in, const std::int32_t* order, std::int64_t begin, std::int64_t end,
                                     std::int64_t channel) {
  NumberSum<In> sum;
  sum.begin();
  for (std::int64_t i = begin; i < end && i < begin + kPartialRows && channel < in.channels; ++i)
    sum.add(in, order[i], channel);
  return sum;
}

// One block per segment and 32 channels: 32 partial sums at a time, then these in order.
template <class In, class Out>
__global__ void sum_segments_kernel(In in, Segments segments, bool mean, Out out) {
  __shared__ NumberSum<In> sums[kSumThreads][kSumThreads + 1];
  const std::int64_t s = blockIdx.x, channel = std::int64_t{blockIdx.y} * kSumThreads + threadIdx.x;
  const std::int64_t begin = segments.splits[s], end = segments.splits[s + 1];
  NumberSum<In> total;
  total.begin();
  for (std::int64_t first = begin; first < end; first += kSumThreads * kPartialRows) {
    sums[threadIdx.y][threadIdx.x] = partial_sum(in, segments.order, first + threadIdx.y * kPartialRows, end, channel);
    __syncthreads();
    if (threadIdx.y == 0)
      for (int r = 0; r < kSumThreads; ++r)
        if (first + r * kPartialRows < end) total.add(sums[r][threadIdx.x]);
    __syncthreads();
  }
  if (threadIdx.y > 0 || channel >= in.channels) return;
  const float sum = total.value(in, channel);
  out.set(s, channel, mean && end > begin ? sum / static_cast<float>(end - begin) : sum);
}

template <class In, class Out>
void reduce_rows(const Queue& queue, In in, const Segments& segments, Reduce reduce, Out out) {
  const bool sums = reduce == Reduce::kSum || reduce == Reduce::kMean;
  if (sums && in.count > kPartialRows * out.count) {
    launch(queue, sum_segments_kernel<In, Out>,
           dim3(static_cast<unsigned>(out.count), static_cast<unsigned>(ceil_div<std::int64_t>(out.channels, 32))),
           dim3(kSumThreads, kSumThreads), 0, in, segments, reduce == Reduce::kMean, out);
    return;
  }
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t s, std::int64_t c) {
    const std::int64_t begin = segments.splits[s], end = segments.splits[s + 1];
    float value = 0;
    if (sums) {
      NumberSum<In> total;
      total.begin();
      for (std::int64_t i = begin; i < end; i += kPartialRows) total.add(partial_sum(in, segments.order, i, end, c));
      value = total.value(in, c);
    } else if (begin < end) {
      value = in.at(segments.order[begin], c);
      for (std::int64_t i = begin + 1; i < end && reduce == Reduce::kMax; ++i) {
        const float x = in.at(segments.order[i], c);
        value = exceeds(x, value) ? x : value;
      }
    }
    if (reduce == Reduce::kMean && end > begin + 1) value /= static_cast<float>(end - begin);
    out.set(s, c, value);
  });
}

// [n] to the unique ones among sorted keys; returns their number.
std::int64_t unique(const Queue& queue, const std::int64_t* sorted, const std::int32_t* order, std::int64_t n,
                    std::int64_t* keys, std::int32_t* first, std::int32_t* inverse) {
  auto* is_new = queue.arena().allocate<std::int32_t>(n);
  auto* places = queue.arena().allocate<std::int32_t>(n);
  for_each(queue, n, [=] __device__(std::int64_t i) { is_new[i] = i == 0 || sorted[i] != sorted[i - 1]; });
  inclusive_sum(queue, is_new, places, n);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    const std::int32_t place = places[i] - 1;
    if (is_new[i] != 0) {
      keys[place] = sorted[i];
      if (first != nullptr) first[place] = order[i];
    }
    if (inverse != nullptr) inverse[order[i]] = place;
  });
  return queue.read(places + n - 1);
}

void number(const Queue& queue, std::int32_t* identity, std::int64_t n) {
  for_each(queue, n, [=] __device__(std::int64_t i) { identity[i] = static_cast<std::int32_t>(i); });
}

void pack_keys(const Queue& queue, const std::int32_t* coords, std::int64_t n, const KeyLayout& layout,
               std::int64_t* keys) {
  for_each(queue, n, [=] __device__(std::int64_t i) { keys[i] = layout.pack(coords + i * layout.axes()); });
}

void unpack_keys(const Queue& queue, const std::int64_t* keys, std::int64_t n, const KeyLayout& layout,
                 std::int32_t* coords) {
  for_each(queue, n, [=] __device__(std::int64_t i) { layout.unpack(keys[i], coords + i * layout.axes()); });
}

void unpack_batches(const Queue& queue, const Level& level, std::int32_t* batches) {
  for_each(queue, level.count, [=] __device__(std::int64_t i) {
    std::int32_t c[kMaxAxes];
    level.layout.unpack(level.keys[i], c);
    batches[i] = c[0];
  });
}

void number_box(const Queue& queue, const KeyLayout& layout, std::int64_t* keys) {
  std::int64_t count = 1;
  for (int axis = 0; axis < layout.axes(); ++axis) count *= layout.extent(axis);
  for_each(queue, count, [=] __device__(std::int64_t i) {
    std::int32_t c[kMaxAxes];
    std::int64_t rest = i;
    for (int axis = layout.axes() - 1; axis >= 0; --axis) {
      c[axis] = static_cast<std::int32_t>(rest % layout.extent(axis) + layout.lowest(axis));
      rest /= layout.extent(axis);
    }
    keys[i] = layout.pack(c);
  });
}

// In any order: they are sorted later.
void moved_candidates(const Queue& queue, const Level& level, const Window& window, CoordinateKernels::Move move,
                      const KeyLayout& to, std::int64_t* out, unsigned long long* count) {
  const std::int64_t n = level.count;
  for_each(queue, n * window.volume(), [=] __device__(std::int64_t e) {
    std::int32_t c[kMaxAxes], result[kMaxAxes];
    level.layout.unpack(level.keys[e % n], c);
    if (moved(c, window, move, window.offset(static_cast<int>(e / n)), to, result))
      out[atomicAdd(count, 1ULL)] = to.pack(result);
  });
}

// What reduce() owes each row: a share of its segment's gradient.
template <class T>
void share_gradient(const Queue& queue, Rows<const T> in, const Segments& segments, const std::int32_t* segment,
                    Reduce reduce, Rows<const T> grad, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const std::int32_t s = segment[i];
    float value = 0;
    if (s >= 0) {
      const std::int64_t begin = segments.splits[s], end = segments.splits[s + 1];
      value = grad.at(s, c);
      if (reduce == Reduce::kMean) {
        value *= 1 / static_cast<float>(end - begin);
      } else if (reduce == Reduce::kFirst || reduce == Reduce::kMax) {
        std::int32_t winner = segments.order[begin];
        if (reduce == Reduce::kMax)
          for (std::int64_t j = begin + 1; j < end; ++j)
            if (exceeds(in.at(segments.order[j], c), in.at(winner, c))) winner = segments.order[j];
        if (winner != i) value = 0;
      }
    }
    out.set(i, c, value);
  });
}

void count_descents(const Queue& queue, const std::int32_t* values, std::int64_t n, int* descents) {
  for_each(queue, n - 1, [=] __device__(std::int64_t i) {
    if (values[i] > values[i + 1]) atomicAdd(descents, 1);
  });
}

class CudaCoordinateKernels final : public CoordinateKernels {
 public:
  void bounds(const Context& context, const std::int32_t* coords, std::int64_t n, int axes, std::int32_t* lowest,
              std::int32_t* highest) const override {
    const Queue queue(context, "bounds");
    std::array<std::int32_t, 2 * kMaxAxes> extremes{};
    std::fill_n(extremes.begin(), axes, INT_MAX);
    std::fill_n(extremes.begin() + axes, axes, INT_MIN);
    const std::size_t bytes = 2 * static_cast<std::size_t>(axes) * sizeof(std::int32_t);
    const Arena::Mark mark = queue.arena().mark();
    auto* result = queue.arena().allocate<std::int32_t>(2 * axes);
    queue.to_device(result, extremes.data(), bytes);
    const std::int64_t blocks =
        std::min<std::int64_t>(ceil_div<std::int64_t>(n, kBoundsThreads), 4 * multiprocessors());
    launch(queue, bounds_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kBoundsThreads), 0, coords, n, axes, result);
    queue.to_host(extremes.data(), result, bytes);
    std::copy_n(extremes.begin(), axes, lowest);
    std::copy_n(extremes.begin() + axes, axes, highest);
    queue.arena().rewind(mark);
  }

  void pack(const Context& context, const std::int32_t* coords, std::int64_t n, const KeyLayout& layout,
            std::int64_t* keys) const override {
    pack_keys(Queue(context, "pack"), coords, n, layout, keys);
  }

  void unpack(const Context& context, const std::int64_t* keys, std::int64_t n, const KeyLayout& layout,
              std::int32_t* coords) const override {
    unpack_keys(Queue(context, "unpack"), keys, n, layout, coords);
  }

  void batches(const Context& context, const Level& level, std::int32_t* batches) const override {
    unpack_batches(Queue(context, "batches"), level, batches);
  }

  void box_keys(const Context& context, const KeyLayout& layout, std::int64_t* keys) const override {
    number_box(Queue(context, "box_keys"), layout, keys);
  }

  std::int64_t sort_unique(const Context& context, std::int64_t* keys, std::int64_t n, int bits, std::int32_t* first,
                           std::int32_t* inverse) const override {
    if (n == 0) return 0;
    const Queue queue(context, "sort_unique");
    Arena& arena = queue.arena();
    const Arena::Mark mark = arena.mark();
    auto* sorted = arena.allocate<std::int64_t>(n);
    std::int32_t* order = nullptr;
    if (first != nullptr || inverse != nullptr) {
      auto* identity = arena.allocate<std::int32_t>(n);
      order = arena.allocate<std::int32_t>(n);
      number(queue, identity, n);
      sort_pairs(queue, keys, sorted, identity, order, n, std::max(bits, 1));
    } else {
      sort_keys(queue, keys, sorted, n, std::max(bits, 1));
    }
    const std::int64_t count = unique(queue, sorted, order, n, keys, first, inverse);
    arena.rewind(mark);
    return count;
  }

  bool ascending(const Context& context, const std::int32_t* values, std::int64_t n) const override {
    const Queue queue(context, "ascending");
    const Arena::Mark mark = queue.arena().mark();
    int* const descents = queue.arena().allocate<int>(1);
    queue.fill(descents, 0, sizeof(int));
    count_descents(queue, values, n, descents);
    const bool result = queue.read(descents) == 0;
    queue.arena().rewind(mark);
    return result;
  }

  std::int64_t candidates(const Context& context, const Level& level, const Window& window, Move move,
                          const KeyLayout& to, std::int64_t* out) const override {
    const Queue queue(context, "candidates");
    if (level.count == 0) return 0;
    const Arena::Mark mark = queue.arena().mark();
    auto* count = queue.arena().allocate<unsigned long long>(1);
    queue.fill(count, 0, sizeof(*count));
    moved_candidates(queue, level, window, move, to, out, count);
    const auto result = static_cast<std::int64_t>(queue.read(count));
    queue.arena().rewind(mark);
    return result;
  }

  void floor_levels(const Context& context, const Level& fine, std::span<const Window::Extents> strides,
                    std::span<Level> levels) const override {
    cuda::floor_levels(Queue(context, "floor_levels"), fine, strides, levels);
  }

  void maps(const Context& context, std::span<const MapRequest> requests, Arena& result,
            std::span<KernelMapViews> views) const override {
    kernel_maps(Queue(context, "kernel_map"), requests, result, views);
  }

  std::int64_t pair_count(const Context& context, const KernelMapView& map) const override {
    return cuda::pair_count(Queue(context, "pair_count"), map);
  }

  void list_pairs(const Context& context, const KernelMapView& map, std::int32_t* pairs) const override {
    cuda::list_pairs(Queue(context, "list_pairs"), map, pairs);
  }

  void build_table(const Context& context, const Level& level, HashSlot* slots, std::int64_t capacity) const override {
    insert_level(Queue(context, "build_table"), level, slots, capacity);
  }

  void look_up(const Context& context, const HashSlot* slots, std::int64_t capacity, const KeyLayout& layout,
               const std::int32_t* coords, std::int64_t n, std::int32_t* rows) const override {
    find_rows(Queue(context, "look_up"), slots, capacity, layout, coords, n, rows);
  }

  void reduce(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
              const RowView& out) const override {
    const Queue queue(context, "reduce");
    const Arena::Mark mark = queue.arena().mark();
    const Segments segments = by_segment(queue, segment, in.count, out.count);
    with_rows(
        "reduce", [&](auto from, auto to) { reduce_rows(queue, from, segments, reduce, to); }, in, out);
    queue.arena().rewind(mark);
  }

  void reduce_backward(const Context& context, const ConstRowView& in, const std::int32_t* segment, Reduce reduce,
                       const ConstRowView& grad, const RowView& out) const override {
    const Queue queue(context, "reduce_backward");
    const Arena::Mark mark = queue.arena().mark();
    const Segments segments = by_segment(queue, segment, out.count, grad.count);
    with_real_type("reduce_backward", out.dtype, [&](auto type) {
      using T = decltype(type);
      share_gradient(queue, rows<T>(in), segments, segment, reduce, rows<T>(grad), rows<T>(out));
    });
    queue.arena().rewind(mark);
  }
};

}  // namespace

const CoordinateKernels& coordinate_kernels() {
  static const CudaCoordinateKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
