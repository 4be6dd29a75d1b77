// Branch-free ranking of a query's candidates by distance. Compiled once per instruction set (include it inside
// HWY_NAMESPACE code, after hwy/highway.h).
#if defined(VOXSHIFT_KERNELS_CPU_RANK_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_RANK_H
#undef VOXSHIFT_KERNELS_CPU_RANK_H
#else
#define VOXSHIFT_KERNELS_CPU_RANK_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/candidates.h>
#include <voxshift/kernels_cpu/compress.h>

#include <algorithm>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {
namespace search {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kLeafPoints>;
using Ints = hn::RebindToSigned<Floats>;
using FloatVector = hn::Vec<Floats>;
using IntVector = hn::Vec<Ints>;
using Mask = hn::Mask<Floats>;
constexpr std::int64_t kLanes = HWY_MIN(HWY_LANES(float), kLeafPoints);

/// Above this, n^2 / lanes comparisons are slower than sorting.
constexpr std::int64_t kMostRanked = 16 * kLanes < 128 ? 16 * kLanes : 128;

/// ranks[i] = number of candidates before i, by d^2 alone or, with kTies, by (d^2, index), in pairs of vectors; 0 from
/// the last one on. Distances are followed by 2 kLanes NaN. Returns the sum of the ranks.
template <bool kTies>
HWY_INLINE std::int64_t rank(const Candidates& all, std::int32_t* ranks) {
  const Floats d;
  const Ints di;
  const IntVector one = hn::Set(di, 1);
  IntVector sum = hn::Zero(di);
  for (std::int64_t i = 0; i < all.count; i += 2 * kLanes) {
    const FloatVector d0 = hn::LoadU(d, all.distances + i), d1 = hn::LoadU(d, all.distances + i + kLanes);
    IntVector r0 = hn::Zero(di), r1 = r0;
    for (std::int64_t j = 0; j < all.count; ++j) {
      const FloatVector x = hn::Set(d, all.distances[j]);
      auto before0 = hn::RebindMask(di, hn::Lt(x, d0)), before1 = hn::RebindMask(di, hn::Lt(x, d1));
      if constexpr (kTies) {
        const IntVector index = hn::Set(di, all.indices[j]);
        const auto lower0 = hn::Lt(index, hn::LoadU(di, all.indices + i));
        const auto lower1 = hn::Lt(index, hn::LoadU(di, all.indices + i + kLanes));
        before0 = hn::Or(before0, hn::And(lower0, hn::RebindMask(di, hn::Eq(x, d0))));
        before1 = hn::Or(before1, hn::And(lower1, hn::RebindMask(di, hn::Eq(x, d1))));
      }
      r0 = hn::IfThenElse(before0, hn::Add(r0, one), r0);
      r1 = hn::IfThenElse(before1, hn::Add(r1, one), r1);
    }
    hn::StoreU(r0, di, ranks + i);
    hn::StoreU(r1, di, ranks + i + kLanes);
    sum = hn::Add(sum, hn::Add(r0, r1));
  }
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

/// How many of values[0, n) are at most `limit`; NaN is not. n is a multiple of kLanes.
HWY_INLINE std::int64_t count_at_most(const float* values, std::int64_t n, float limit) {
  const Floats d;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; i += kLanes)
    count += static_cast<std::int64_t>(hn::CountTrue(d, hn::Le(hn::LoadU(d, values + i), hn::Set(d, limit))));
  return count;
}

/// Bounds of the k-th value need not be tighter than this many values.
constexpr std::int64_t enough_for(std::int64_t k) { return k + k / 4; }

/// Of `below` values up to `low` and `count` >= k up to `high`, makes a bound that at least k of values[0, n) do not
/// exceed, and seldom more than enough. By regula falsi on the number of values, which is near to linear in d^2 where
/// points lie on a surface.
HWY_INLINE float narrow(const float* values, std::int64_t n, std::int64_t k, float low, std::int64_t below, float high,
                        std::int64_t count) {
  constexpr int kMostSteps = 6;
  const std::int64_t wanted = k + k / 8;
  for (int step = 0; step < kMostSteps && count > enough_for(k); ++step) {
    const float share = (static_cast<float>(wanted - below) + 0.5f) / static_cast<float>(count - below);
    const float middle = low + (high - low) * share;
    if (!(middle > low && middle < high)) break;
    const std::int64_t at_most = count_at_most(values, n, middle);
    if (at_most < k) {
      low = middle;
      below = at_most;
    } else {
      high = middle;
      count = at_most;
    }
  }
  return high;
}

/// A bound that at least k of values[0, n) do not exceed; `limit` where fewer than k are up to that. values >= 0, some
/// NaN; n is a multiple of kLanes. `guess` <= limit is a bound from nearby, or the limit.
inline float bound_of_kth(const float* values, std::int64_t n, std::int64_t k, float limit, float guess) {
  const Floats d;
  float low = 0, high = guess;
  std::int64_t below = 0, count = count_at_most(values, n, high);
  if (high == limit && count <= enough_for(k)) return limit;
  if (count < k) {
    low = high;
    below = count;
  }
  if (count < k || high == limit) {
    const FloatVector limits = hn::Set(d, limit);
    FloatVector highest = hn::Zero(d);
    for (std::int64_t i = 0; i < n; i += kLanes) {
      const FloatVector v = hn::LoadU(d, values + i);
      highest = hn::IfThenElse(hn::And(hn::Gt(v, highest), hn::Le(v, limits)), v, highest);
    }
    high = hn::GetLane(hn::MaxOfLanes(d, highest));
    count = count_at_most(values, n, high);
    if (count < k) return limit;
  }
  return narrow(values, n, k, low, below, high, count);
}

/// Leaves out candidates that are not among the k nearest, most of them; none is further than `reach`.
HWY_INLINE void keep_about(Candidates& all, std::int64_t k, float reach) {
  const Floats d;
  const Ints di;
  const std::int64_t n = (all.count + kLanes - 1) / kLanes * kLanes;
  hn::StoreU(hn::Set(d, std::numeric_limits<float>::quiet_NaN()), d, all.distances + all.count);
  const FloatVector bound = hn::Set(d, narrow(all.distances, n, k, 0, 0, reach, all.count));
  all.count = 0;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const FloatVector squares = hn::LoadU(d, all.distances + i);
    const IntVector indices = hn::LoadU(di, all.indices + i);
    const Mask near = hn::Le(squares, bound);
    hn::StoreU(compress(d, squares, near), d, all.distances + all.count);
    hn::StoreU(compress(di, indices, hn::RebindMask(di, near)), di, all.indices + all.count);
    all.count += static_cast<std::int64_t>(hn::CountTrue(d, near));
  }
}

/// Writes the candidates in order, the first `most` of them. Spoils what follows them.
inline void sort_candidates(const Candidates& all, std::uint64_t* keys, std::int64_t most, std::int32_t* indices,
                            float* distances) {
  const std::int64_t n = all.count;
  if (n > kMostRanked) {
    make_keys(all, keys);
    if (most < n) std::nth_element(keys, keys + most, keys + n);
    most = std::min(most, n);
    std::sort(keys, keys + most);
    for (std::int64_t i = 0; i < most; ++i) {
      indices[i] = index_of(keys[i]);
      distances[i] = distance_of(keys[i]);
    }
    return;
  }
  std::int32_t ranks[kMostRanked + 2 * kLanes];
  std::fill_n(all.distances + n, 2 * kLanes, std::numeric_limits<float>::quiet_NaN());
  if (rank<false>(all, ranks) != n * (n - 1) / 2) rank<true>(all, ranks);
  std::int32_t sorted_indices[kMostRanked];
  float sorted_distances[kMostRanked];
  for (std::int64_t i = 0; i < n; ++i) {
    sorted_indices[ranks[i]] = all.indices[i];
    sorted_distances[ranks[i]] = all.distances[i];
  }
  most = std::min(most, n);
  std::copy_n(sorted_indices, most, indices);
  std::copy_n(sorted_distances, most, distances);
}

}  // namespace search
}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
