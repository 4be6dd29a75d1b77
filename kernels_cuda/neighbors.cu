// Neighbour searches: one thread per query, in the order of a space-filling curve, so that the threads of a warp walk
// the same boxes. A squared distance that overflows to infinity is one as any other.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/binary_search.h>
#include <voxshift/kernels_cuda/key_heap.h>
#include <voxshift/kernels_cuda/point_tree.h>
#include <voxshift/kernels_cuda/point_voxel.h>

#include <algorithm>
#include <bit>

namespace voxshift::cuda {
namespace {

/// A tree of points, and queries along its curve.
struct Search {
  PointTree tree;
  PlacedPoints queries;
  bool among_themselves;           ///< the queries are the points
  unsigned long long* not_finite;  ///< points and other queries, in device memory

  std::int64_t dropped(const Queue& queue) const {
    return static_cast<std::int64_t>(queue.read(not_finite)) * (among_themselves ? 2 : 1);
  }
};

bool same_clouds(const Clouds& a, const Clouds& b) {
  return a.points.base == b.points.base && a.points.row_stride == b.points.row_stride &&
         a.points.count == b.points.count && std::equal(a.splits, a.splits + a.count + 1, b.splits);
}

// In the queue's arena.
Search make_search(const Queue& queue, const Clouds& points, const Clouds& queries) {
  Search search{};
  search.not_finite = queue.arena().allocate<unsigned long long>(1);
  queue.fill(search.not_finite, 0, sizeof(*search.not_finite));
  search.tree = build_tree(queue, points, search.not_finite);
  search.among_themselves = same_clouds(points, queries);
  search.queries =
      search.among_themselves ? search.tree.placed : place_points(queue, queries, search.tree.curve, search.not_finite);
  return search;
}

/// A query and the places of its cloud's points: none where it is not finite.
struct Query {
  float at[3];
  std::int64_t cloud;
  std::uint32_t begin, end;

  __device__ Query(const Search& search, std::int64_t place) {
    const PlacedPoint p = search.queries.points[place];
    at[0] = p.x;
    at[1] = p.y;
    at[2] = p.z;
    cloud = search.tree.curve.cloud(search.queries.codes[place]);
    begin = static_cast<std::uint32_t>(search.tree.clouds.begin(cloud));
    end = p.x != p.x ? begin : static_cast<std::uint32_t>(search.tree.clouds.end(cloud));
  }
};

/// take(point) for the points of the query's cloud in a leaf.
template <class Take>
__device__ void for_leaf(const PointTree& tree, const Query& query, std::uint32_t leaf, const Take& take) {
  const std::uint32_t first = leaf * kFanOut > query.begin ? leaf * kFanOut : query.begin;
  const std::uint32_t last = (leaf + 1) * kFanOut < query.end ? (leaf + 1) * kFanOut : query.end;
  for (std::uint32_t place = first; place < last; ++place) take(tree.placed.points[place]);
}

/// Candidates by (d^2, index): the bits of floats that are not negative are ordered as the floats are, NaN is last.
struct ByDistance {
  std::uint64_t limit;

  explicit ByDistance(float radius2) : limit(key(radius2, -1)) {}
  __host__ __device__ static std::uint64_t key(float d2, std::int32_t index) {
    return std::uint64_t{std::bit_cast<std::uint32_t>(d2)} << 32 | static_cast<std::uint32_t>(index);
  }
};

/// Candidates with d^2 < radius2 by index.
struct ByIndex {
  float radius2;
  std::uint64_t limit = std::uint64_t{1} << 32;

  __device__ std::uint64_t key(float d2, std::int32_t index) const {
    return d2 < radius2 ? static_cast<std::uint32_t>(index) : limit;
  }
};

// A place whose points lie near query `place`.
__device__ inline std::uint32_t place_near(const Search& search, std::int64_t place) {
  if (search.among_themselves) return static_cast<std::uint32_t>(place);
  const PlacedPoints& points = search.tree.placed;
  return static_cast<std::uint32_t>(lower_bound(points.codes, points.count, search.queries.codes[place]));
}

// The points of the least keys to the heap. The leaves around `near` come first: they bound what else is looked at.
template <class Order>
__device__ void collect(const PointTree& tree, const Query& query, std::uint32_t near, const Order& order,
                        KeyHeap& heap) {
  if (query.begin >= query.end) return;
  const auto take = [&](std::uint32_t leaf) {
    for_leaf(tree, query, leaf, [&](const PlacedPoint& p) { heap.offer(order.key(distance2(p, query.at), p.index)); });
  };
  const std::uint32_t around = static_cast<std::uint32_t>(heap.capacity()) / kFanOut + 1;
  const std::uint32_t middle = near / kFanOut, begin = query.begin / kFanOut, end = (query.end - 1) / kFanOut + 1;
  const std::uint32_t first = middle > begin + around ? middle - around : begin;
  const std::uint32_t last = middle + around + 1 < end ? middle + around + 1 : end;
  for (std::uint32_t leaf = first; leaf < last; ++leaf) take(leaf);
  walk(
      tree, query.begin, query.end,
      [&](const Box& box) { return order.key(distance2(box, query.at), box.lowest) < heap.limit(); },
      [&](std::uint32_t leaf) {
        if (leaf < first || leaf >= last) take(leaf);
      });
}

// finish(query, its row, sorted heap of at most k points) for every query.
template <class Order, class Finish>
void search_each(const Queue& queue, const Search& search, std::int64_t k, const Order& order, const Finish& finish) {
  const std::int64_t n = search.queries.count, capacity = std::min(k, search.tree.placed.count);
  auto* keys = queue.arena().allocate<std::uint64_t>(n * capacity);
  for_each(queue, n, [=] __device__(std::int64_t place) {
    const Query query(search, place);
    KeyHeap heap(keys + place, n, capacity, order.limit);
    collect(search.tree, query, place_near(search, place), order, heap);
    heap.sort();
    finish(query, std::int64_t{search.queries.points[place].index}, heap);
  });
}

void find_nearest(const Queue& queue, const Search& search, std::int64_t k, float radius2, std::int32_t* indices,
                  float* distances) {
  search_each(queue, search, k, ByDistance(radius2),
              [=] __device__(const Query&, std::int64_t row, const KeyHeap& heap) {
                for (std::int64_t j = 0; j < k; ++j) {
                  const bool found = j < heap.count();
                  const std::uint64_t key = found ? heap[j] : 0;
                  indices[row * k + j] = found ? static_cast<std::int32_t>(key) : -1;
                  distances[row * k + j] = found ? std::bit_cast<float>(static_cast<std::uint32_t>(key >> 32))
                                                 : std::numeric_limits<float>::infinity();
                }
              });
}

// take(query's row, point, d^2) for the points within the radius, then done(query's row), for every query.
template <class Take, class Done>
void for_each_within(const Queue& queue, const Search& search, float radius2, const Take& take, const Done& done) {
  for_each(queue, search.queries.count, [=] __device__(std::int64_t place) {
    const Query query(search, place);
    const std::int64_t row = search.queries.points[place].index;
    std::int64_t count = 0;
    if (query.begin < query.end)
      walk(
          search.tree, query.begin, query.end, [&](const Box& box) { return distance2(box, query.at) <= radius2; },
          [&](std::uint32_t leaf) {
            for_leaf(search.tree, query, leaf, [&](const PlacedPoint& p) {
              const float d2 = distance2(p, query.at);
              if (d2 <= radius2) take(row, count++, ByDistance::key(d2, p.index));
            });
          });
    done(row, count);
  });
}

void count_within(const Queue& queue, const Search& search, float radius2, std::int64_t* counts) {
  for_each_within(
      queue, search, radius2, [] __device__(std::int64_t, std::int64_t, std::uint64_t) {},
      [=] __device__(std::int64_t row, std::int64_t count) { counts[row] = count; });
}

void list_within(const Queue& queue, const Search& search, float radius2, const std::int64_t* splits,
                 std::uint64_t* keys, std::int32_t* owners) {
  for_each_within(
      queue, search, radius2,
      [=] __device__(std::int64_t row, std::int64_t j, std::uint64_t key) {
        keys[splits[row] + j] = key;
        owners[splits[row] + j] = static_cast<std::int32_t>(row);
      },
      [] __device__(std::int64_t, std::int64_t) {});
}

void split_keys(const Queue& queue, const std::uint64_t* keys, std::int64_t n, std::int32_t* indices,
                float* distances) {
  for_each(queue, n, [=] __device__(std::int64_t i) {
    indices[i] = static_cast<std::int32_t>(keys[i]);
    distances[i] = std::bit_cast<float>(static_cast<std::uint32_t>(keys[i] >> 32));
  });
}

void find_first(const Queue& queue, const Search& search, std::int64_t count, float radius2, std::int32_t* indices) {
  const CloudSplits clouds = search.tree.clouds;
  search_each(queue, search, count, ByIndex{radius2},
              [=] __device__(const Query& query, std::int64_t row, const KeyHeap& heap) {
                const std::int64_t first = clouds.begin(query.cloud);
                std::int32_t filler = first < clouds.end(query.cloud) ? static_cast<std::int32_t>(first) : -1;
                if (heap.count() > 0) filler = static_cast<std::int32_t>(heap[0]);
                for (std::int64_t j = 0; j < count; ++j)
                  indices[row * count + j] = j < heap.count() ? static_cast<std::int32_t>(heap[j]) : filler;
              });
}

// indices and squared distances [n, 3] to the weights of three_nearest().
void weigh(const Queue& queue, std::int64_t n, const CloudSplits& points, const CloudSplits& centers,
           std::int32_t* indices, float* weights) {
  for_each(queue, n, [=] __device__(std::int64_t i) {
    std::int32_t* index = indices + 3 * i;
    float* weight = weights + 3 * i;
    const bool any = index[0] >= 0;
    float sum = 0;
    for (int j = 0; j < 3; ++j) {
      if (any && index[j] < 0) index[j] = static_cast<std::int32_t>(centers.begin(points.cloud_of(i)));
      weight[j] = any ? 1 / fminf(fmaxf(weight[j], 1e-10f), 1e10f) : 0;
      sum += weight[j];
    }
    for (int j = 0; any && j < 3; ++j) weight[j] /= sum;
  });
}

}  // namespace

std::int64_t nearest(const Queue& queue, const Clouds& points, const Clouds& queries, std::int64_t k, float radius2,
                     std::int32_t* indices, float* distances) {
  const Arena::Mark mark = queue.arena().mark();
  const Search search = make_search(queue, points, queries);
  find_nearest(queue, search, k, radius2, indices, distances);
  const std::int64_t dropped = search.dropped(queue);
  queue.arena().rewind(mark);
  return dropped;
}

RaggedView within_radius(const Queue& queue, const Clouds& points, const Clouds& queries, float radius2, Arena& result,
                         std::int64_t& dropped) {
  Arena& arena = queue.arena();
  const std::int64_t n = queries.points.count;
  auto* splits = result.allocate<std::int64_t>(n + 1);
  const Arena::Mark mark = arena.mark();
  const Search search = make_search(queue, points, queries);
  auto* counts = arena.allocate<std::int64_t>(n);
  queue.fill(splits, 0, sizeof(*splits));
  count_within(queue, search, radius2, counts);
  if (n > 0) inclusive_sum(queue, counts, splits + 1, n);
  const std::int64_t total = queue.read(splits + n);
  dropped = search.dropped(queue);
  auto* indices = result.allocate<std::int32_t>(total);
  auto* distances = result.allocate<float>(total);
  if (total > 0) {
    auto* keys = arena.allocate<std::uint64_t>(total);
    auto* sorted = arena.allocate<std::uint64_t>(total);
    auto* owners = arena.allocate<std::int32_t>(total);
    auto* sorted_owners = arena.allocate<std::int32_t>(total);
    list_within(queue, search, radius2, splits, keys, owners);
    // By key, then, which is stable, by query.
    sort_pairs(queue, keys, sorted, owners, sorted_owners, total, 63);
    const auto owner_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n)));
    sort_pairs(queue, sorted_owners, owners, sorted, keys, total, owner_bits);
    split_keys(queue, keys, total, indices, distances);
  }
  arena.rewind(mark);
  return {splits, indices, distances};
}

void ball_query(const Queue& queue, const Clouds& points, const Clouds& centers, float radius2, std::int64_t count,
                std::int32_t* indices) {
  const Arena::Mark mark = queue.arena().mark();
  find_first(queue, make_search(queue, points, centers), count, radius2, indices);
  queue.arena().rewind(mark);
}

void three_nearest(const Queue& queue, const Clouds& points, const Clouds& centers, std::int32_t* indices,
                   float* weights) {
  const Arena::Mark mark = queue.arena().mark();
  find_nearest(queue, make_search(queue, centers, points), 3, std::numeric_limits<float>::infinity(), indices, weights);
  weigh(queue, points.points.count, splits_of(queue, points), splits_of(queue, centers), indices, weights);
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
