// Clouds in a cube of cells: their coordinates, the cell of each point, and the cells around it.
#include <voxshift/kernels_cuda/clouds.h>
#include <voxshift/kernels_cuda/point_voxel.h>

namespace voxshift::cuda {
namespace {

constexpr int kCorners = 8, kThreads = 256;

/// Where a cloud lies: p = point - mean.
struct Place {
  float mean[3];
  float distance;  ///< largest |p|
};

struct Sums {
  double x, y, z, count;
};

// One block per cloud. Thread t takes every kThreads-th point, then the threads are added in pairs: one order always.
__global__ void place_kernel(Rows<const float> points, CloudSplits clouds, Place* places) {
  __shared__ Sums sums[kThreads];
  __shared__ double furthest[kThreads];
  const std::int64_t cloud = blockIdx.x, begin = clouds.begin(cloud), end = clouds.end(cloud);
  const int thread = static_cast<int>(threadIdx.x);
  Sums sum{};
  for (std::int64_t i = begin + thread; i < end; i += kThreads) {
    const float* p = points.row(i);
    if (!is_finite(p)) continue;
    sum.x += p[0];
    sum.y += p[1];
    sum.z += p[2];
    sum.count += 1;
  }
  sums[thread] = sum;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    const Sums other = sums[thread + half];
    sums[thread].x += other.x;
    sums[thread].y += other.y;
    sums[thread].z += other.z;
    sums[thread].count += other.count;
  }
  __syncthreads();
  Place place{};
  if (sums[0].count > 0)
    place = {{static_cast<float>(sums[0].x / sums[0].count), static_cast<float>(sums[0].y / sums[0].count),
              static_cast<float>(sums[0].z / sums[0].count)},
             0};
  double most = 0;  // square distance
  for (std::int64_t i = begin + thread; i < end; i += kThreads) {
    const float* p = points.row(i);
    if (!is_finite(p)) continue;
    const double x = p[0] - place.mean[0], y = p[1] - place.mean[1], z = p[2] - place.mean[2];
    const double square = x * x + y * y + z * z;
    if (square > most) most = square;
  }
  furthest[thread] = most;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half && furthest[thread + half] > furthest[thread]) furthest[thread] = furthest[thread + half];
  }
  if (thread > 0) return;
  place.distance = static_cast<float>(sqrt(furthest[0]));
  places[cloud] = place;
}

}  // namespace

void dense_grid_coords(const Queue& queue, const Clouds& clouds, std::int64_t resolution, bool normalize, float eps,
                       float* coords) {
  const Arena::Mark mark = queue.arena().mark();
  const CloudSplits splits = splits_of(queue, clouds);
  const Rows<const float> points = rows<float>(clouds.points);
  auto* places = queue.arena().allocate<Place>(clouds.count);
  launch(queue, place_kernel, dim3(static_cast<unsigned>(clouds.count)), dim3(kThreads), 0, points, splits, places);
  const auto scale = static_cast<float>(resolution), highest = static_cast<float>(resolution - 1);
  for_each(queue, points.count, [=] __device__(std::int64_t i) {
    const float* point = points.row(i);
    const Place place = places[splits.cloud_of(i)];
    const bool finite = is_finite(point);
    const float width = 2 * place.distance + eps;
    for (int axis = 0; axis < 3; ++axis) {
      const float p = point[axis] - place.mean[axis];
      const float unit = !normalize ? (p + 1) / 2 : (width == 0 ? 0 : p / width) + 0.5f;
      const float scaled = unit * scale;
      coords[3 * i + axis] = !finite ? NAN : scaled < 0 ? 0.0f : scaled > highest ? highest : scaled;
    }
  });
  queue.arena().rewind(mark);
}

void dense_cells(const Queue& queue, const Clouds& clouds, std::int64_t resolution, std::int32_t* cells) {
  const Arena::Mark mark = queue.arena().mark();
  const CloudSplits splits = splits_of(queue, clouds);
  const Rows<const float> coords = rows<float>(clouds.points);
  for_each(queue, coords.count, [=] __device__(std::int64_t i) {
    const float* c = coords.row(i);
    std::int64_t cell = splits.cloud_of(i);
    const bool finite = is_finite(c);
    for (int axis = 0; finite && axis < 3; ++axis) cell = cell * resolution + static_cast<std::int64_t>(rintf(c[axis]));
    cells[i] = finite ? static_cast<std::int32_t>(cell) : -1;
  });
  queue.arena().rewind(mark);
}

void dense_corners(const Queue& queue, const Clouds& clouds, std::int64_t resolution, std::int32_t* indices,
                   float* weights) {
  const Arena::Mark mark = queue.arena().mark();
  const CloudSplits splits = splits_of(queue, clouds);
  const Rows<const float> coords = rows<float>(clouds.points);
  for_each(queue, coords.count, [=] __device__(std::int64_t i) {
    const float* c = coords.row(i);
    std::int64_t cell = splits.cloud_of(i);
    float low[3], high[3];  // weights of either side
    for (int axis = 0; axis < 3; ++axis) {
      const float below = is_finite(c) ? floorf(c[axis]) : 0;
      high[axis] = c[axis] - below;
      low[axis] = 1 - high[axis];
      cell = cell * resolution + static_cast<std::int64_t>(below);
    }
    for (int j = 0; j < kCorners; ++j) {
      const int x = j >> 2, y = j >> 1 & 1, z = j & 1;
      const float w = (x != 0 ? high : low)[0] * (y != 0 ? high : low)[1] * (z != 0 ? high : low)[2];
      const bool counts = w > 0;  // false for NaN, and on the last cell's far side
      indices[kCorners * i + j] = counts ? static_cast<std::int32_t>(cell + (x * resolution + y) * resolution + z) : -1;
      weights[kCorners * i + j] = counts ? w : 0;
    }
  });
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
