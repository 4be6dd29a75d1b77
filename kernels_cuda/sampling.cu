// Furthest point sampling, one block per cloud. Buckets of points that lie near each other keep the furthest point of
// theirs; a new sample changes only buckets that are nearer to it than that, a warp at a time.
#include <voxshift/kernels_cuda/point_tree.h>
#include <voxshift/kernels_cuda/point_voxel.h>

#include <bit>
#include <climits>

namespace voxshift::cuda {
namespace {

constexpr int kWarps = 16, kLanes = 32;
constexpr std::int64_t kBucket = kFanOut * kFanOut;  // points: the tree's boxes of level 1

/// (d^2, rank): the greatest is taken, and of equal distances the least rank. 0: no point.
using Key = unsigned long long;

/// Rank of a cloud's k-th point: k, or (k mod 512, k) as PVCNN's kernel orders equal distances.
struct Ranks {
  static constexpr std::uint32_t kPeriod = 512, kRounds = 1u << 22;

  bool by_period;

  __device__ std::uint32_t rank(std::uint32_t k) const { return by_period ? k % kPeriod * kRounds + k / kPeriod : k; }
  __device__ std::uint32_t position(std::uint32_t rank) const {
    return by_period ? rank % kRounds * kPeriod + rank / kRounds : rank;
  }
  __device__ Key key(float d2, std::uint32_t k) const { return Key{std::bit_cast<std::uint32_t>(d2)} << 32 | ~rank(k); }
  __device__ std::uint32_t position_of(Key key) const { return position(~static_cast<std::uint32_t>(key)); }
};

__device__ inline float distance_of(Key key) { return std::bit_cast<float>(static_cast<std::uint32_t>(key >> 32)); }

struct Sampling {
  PointTree tree;
  Rows<const float> points;
  Ranks ranks;
  std::int64_t count;
  float* distances;       // [places] to the samples so far
  Key* furthest;          // [places / kBucket + clouds] of the buckets of each cloud
  std::int32_t* indices;  // [clouds, count]
};

__device__ inline Key warp_max(Key key, int lane) {
  for (int step = kLanes / 2; step > 0; step /= 2) {
    const auto low = __shfl_sync(~0u, static_cast<std::uint32_t>(key), lane ^ step);
    const auto high = __shfl_sync(~0u, static_cast<std::uint32_t>(key >> 32), lane ^ step);
    const Key other = Key{high} << 32 | low;
    if (other > key) key = other;
  }
  return key;
}

// Lowers the distances of a lane's share of the places [begin, end) to those from `sample`; returns the greatest key.
__device__ inline Key lower_distances(const Sampling& s, std::int64_t begin, std::int64_t end, std::int64_t first_row,
                                      const float* sample, bool are_first, int lane) {
  Key most = 0;
  for (std::int64_t place = begin + lane; place < end; place += kLanes) {
    const PlacedPoint p = s.tree.placed.points[place];
    const float d2 = distance2(p, sample);
    if (d2 != d2) continue;
    const float kept = are_first || d2 < s.distances[place] ? d2 : s.distances[place];
    s.distances[place] = kept;
    const Key key = s.ranks.key(kept, static_cast<std::uint32_t>(p.index - first_row));
    if (key > most) most = key;
  }
  return most;
}

__global__ void __launch_bounds__(kWarps* kLanes) furthest_points_kernel(Sampling s) {
  __shared__ Key best[2][kWarps];  // of each warp, for even and odd samples
  __shared__ int first_finite;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kLanes, lane = thread % kLanes;
  const std::int64_t cloud = blockIdx.x, begin = s.tree.clouds.begin(cloud), end = s.tree.clouds.end(cloud);
  std::int32_t* const indices = s.indices + cloud * s.count;

  if (thread == 0) first_finite = INT_MAX;
  __syncthreads();
  for (std::int64_t i = begin + thread; i < end; i += kWarps * kLanes)
    if (is_finite(s.points.row(i))) {
      atomicMin(&first_finite, static_cast<int>(i));
      break;
    }
  __syncthreads();
  if (first_finite == INT_MAX) {
    for (std::int64_t i = thread; i < s.count; i += kWarps * kLanes) indices[i] = -1;
    return;
  }

  const std::int64_t first_bucket = begin / kBucket, buckets = (end - 1) / kBucket + 1 - first_bucket;
  const Box* const boxes = s.tree.boxes[1] + first_bucket;
  Key* const furthest = s.furthest + first_bucket + cloud;
  std::int64_t row = first_finite;
  if (thread == 0) indices[0] = first_finite;
  for (std::int64_t i = 1; i < s.count; ++i) {
    const float* const p = s.points.row(row);
    const float sample[3] = {p[0], p[1], p[2]};
    Key mine = 0;
    for (std::int64_t round = warp; round < buckets; round += kWarps * kLanes) {
      const std::int64_t bucket = round + lane * kWarps;  // neighbouring ones belong to different warps
      Key key = bucket < buckets && i > 1 ? furthest[bucket] : 0;
      const bool changes = bucket < buckets && (i == 1 || distance2(boxes[bucket], sample) < distance_of(key));
      for (unsigned left = __ballot_sync(~0u, changes); left != 0; left &= left - 1) {
        const int owner = __ffs(static_cast<int>(left)) - 1;
        const std::int64_t first = (first_bucket + round + owner * kWarps) * kBucket;
        const Key most =
            warp_max(lower_distances(s, first > begin ? first : begin, first + kBucket < end ? first + kBucket : end,
                                     begin, sample, i == 1, lane),
                     lane);
        if (lane == owner) furthest[bucket] = key = most;
      }
      if (key > mine) mine = key;
    }
    mine = warp_max(mine, lane);
    if (lane == 0) best[i % 2][warp] = mine;
    __syncthreads();
    Key most = 0;
    for (int w = 0; w < kWarps; ++w)
      if (best[i % 2][w] > most) most = best[i % 2][w];
    row = begin + s.ranks.position_of(most);
    if (distance_of(most) == 0) {  // no distance changes any more
      for (std::int64_t j = i + thread; j < s.count; j += kWarps * kLanes) indices[j] = static_cast<std::int32_t>(row);
      return;
    }
    if (thread == 0) indices[i] = static_cast<std::int32_t>(row);
  }
}

}  // namespace

void furthest_points(const Queue& queue, const Clouds& clouds, std::int64_t count, Ties ties, std::int32_t* indices) {
  Arena& arena = queue.arena();
  const Arena::Mark mark = arena.mark();
  const std::int64_t n = clouds.points.count;
  const Sampling sampling{build_tree(queue, clouds, nullptr),
                          rows<float>(clouds.points),
                          {ties == Ties::kPvcnn},
                          count,
                          arena.allocate<float>(n),
                          arena.allocate<Key>(n / kBucket + clouds.count),
                          indices};
  launch(queue, furthest_points_kernel, dim3(static_cast<unsigned>(clouds.count)), dim3(kWarps * kLanes), 0, sampling);
  arena.rewind(mark);
}

}  // namespace voxshift::cuda
