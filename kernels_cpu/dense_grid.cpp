// Clouds in a cube of cells: their coordinates, the cell of each point, and the cells around it.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>

#include <algorithm>
#include <cmath>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 4096;
constexpr int kCorners = 8;

const float* row(const ConstRowView& view, std::int64_t i) {
  return static_cast<const float*>(view.base) + i * view.row_stride;
}

bool is_finite(const float* p) { return std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]); }

// Calls body(i, cloud, p) for every point.
template <class Body>
void for_points(const Context& context, const Clouds& clouds, const Body& body) {
  parallel_ranges(context, clouds.points.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    std::int64_t b = 0;
    for (std::int64_t i = first; i < last; ++i) {
      while (i >= clouds.splits[b + 1]) ++b;
      body(i, b, row(clouds.points, i));
    }
  });
}

// Where a cloud lies: p = point - mean.
struct Place {
  float mean[3];
  float distance;  // largest |p|
};

Place place_of(const ConstRowView& points, std::int64_t first, std::int64_t last) {
  double sum[3] = {}, distance2 = 0, count = 0;
  for (std::int64_t i = first; i < last; ++i) {
    const float* p = row(points, i);
    if (!is_finite(p)) continue;
    for (int axis = 0; axis < 3; ++axis) sum[axis] += double{p[axis]};
    ++count;
  }
  Place place{};
  if (count == 0) return place;
  for (int axis = 0; axis < 3; ++axis) place.mean[axis] = static_cast<float>(sum[axis] / count);
  for (std::int64_t i = first; i < last; ++i) {
    const float* p = row(points, i);
    if (!is_finite(p)) continue;
    const double x = p[0] - place.mean[0], y = p[1] - place.mean[1], z = p[2] - place.mean[2];
    distance2 = std::max(distance2, x * x + y * y + z * z);
  }
  place.distance = static_cast<float>(std::sqrt(distance2));
  return place;
}

}  // namespace

void dense_grid_coords(const Context& context, const Clouds& clouds, std::int64_t resolution, bool normalize, float eps,
                       float* coords) {
  const Arena::Mark mark = context.arena->mark();
  auto* places = context.arena->allocate<Place>(clouds.count);
  parallel_for(context, clouds.count, [&](std::int64_t b, int) {
    places[b] = place_of(clouds.points, clouds.splits[b], clouds.splits[b + 1]);
  });
  const auto scale = static_cast<float>(resolution), highest = static_cast<float>(resolution - 1);
  for_points(context, clouds, [&](std::int64_t i, std::int64_t b, const float* point) {
    const bool finite = is_finite(point);
    const float width = 2 * places[b].distance + eps;
    for (int axis = 0; axis < 3; ++axis) {
      const float p = point[axis] - places[b].mean[axis];
      const float unit = !normalize ? (p + 1) / 2 : (width == 0 ? 0 : p / width) + 0.5f;
      coords[3 * i + axis] = finite ? std::clamp(unit * scale, 0.0f, highest) : NAN;
    }
  });
  context.arena->rewind(mark);
}

void dense_cells(const Context& context, const Clouds& coords, std::int64_t resolution, std::int32_t* cells) {
  for_points(context, coords, [&](std::int64_t i, std::int64_t b, const float* c) {
    std::int64_t cell = b;
    for (int axis = 0; axis < 3; ++axis)
      cell = cell * resolution + (is_finite(c) ? static_cast<std::int64_t>(std::nearbyint(c[axis])) : 0);
    cells[i] = is_finite(c) ? static_cast<std::int32_t>(cell) : -1;
  });
}

void dense_corners(const Context& context, const Clouds& coords, std::int64_t resolution, std::int32_t* indices,
                   float* weights) {
  for_points(context, coords, [&](std::int64_t i, std::int64_t b, const float* c) {
    std::int64_t cell = b;
    float weight[3][2];
    for (int axis = 0; axis < 3; ++axis) {
      const float low = is_finite(c) ? std::floor(c[axis]) : 0;
      weight[axis][1] = c[axis] - low;
      weight[axis][0] = 1 - weight[axis][1];
      cell = cell * resolution + static_cast<std::int64_t>(low);
    }
    for (int j = 0; j < kCorners; ++j) {
      const int x = j >> 2, y = j >> 1 & 1, z = j & 1;
      const float w = weight[0][x] * weight[1][y] * weight[2][z];
      const bool counts = w > 0;  // false for NaN, and on the last cell's far side
      indices[kCorners * i + j] = counts ? static_cast<std::int32_t>(cell + (x * resolution + y) * resolution + z) : -1;
      weights[kCorners * i + j] = counts ? w : 0;
    }
  });
}

}  // namespace voxshift::cpu
