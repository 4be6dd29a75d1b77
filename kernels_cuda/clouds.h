// Row splits of point clouds in device memory.
#pragma once

#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/point_voxel/kernels.h>

#include <cmath>
#include <cstdint>

namespace voxshift::cuda {

/// The row splits of clouds in device memory.
struct CloudSplits {
  const std::int64_t* splits;  ///< [count + 1]
  std::int64_t count;

  __device__ std::int64_t begin(std::int64_t cloud) const { return splits[cloud]; }
  __device__ std::int64_t end(std::int64_t cloud) const { return splits[cloud + 1]; }

  /// The cloud of row i: the last one that begins at or before it.
  __device__ std::int64_t cloud_of(std::int64_t i) const {
    std::int64_t low = 0, high = count;
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      if (splits[middle] <= i) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// In the queue's arena.
inline CloudSplits splits_of(const Queue& queue, const Clouds& clouds) {
  auto* splits = queue.arena().allocate<std::int64_t>(clouds.count + 1);
  queue.to_device(splits, clouds.splits, static_cast<std::size_t>(clouds.count + 1) * sizeof(*splits));
  return {splits, clouds.count};
}

__device__ inline bool is_finite(const float* p) {
  return std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]);
}

__device__ inline float square_length(float x, float y, float z) { return fmaf(z, z, fmaf(y, y, x * x)); }

}  // namespace voxshift::cuda
