// Contract of operators between points and voxels, and on sets of points.
#pragma once

#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/point_set.h>
#include <voxshift/point_voxel/rounding.h>
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift {

/// Neighbours of query i: the entries [splits[i], splits[i + 1]) of indices and distances.
struct RaggedView {
  const std::int64_t* splits;  ///< [queries + 1]
  const std::int32_t* indices;
  const float* distances;
};

/// Kernels on points. Views are f32; cylindrical(), the features and the result of group(), and interpolate() take f16,
/// bf16 and i8, too, each view of a dtype of its own, as RowKernels does, and on CUDA interpolate_backward() f16 and
/// bf16, both views of one dtype. Squared distances are fma(dz, dz, fma(dy, dy, dx * dx)); indices are rows of the
/// whole point set. Points and queries that are not finite take part in nothing; searches return how many there were.
/// Scratch comes from context.arena and is given back. Same results on every run and for any number of threads.
class PointVoxelKernels {
 public:
  virtual ~PointVoxelKernels() = default;

  /// Columns 0 to 2 of `out` are sqrt(x^2 + y^2), atan2(y, x) and z of columns 0 to 2 of `in`.
  virtual void cylindrical(const Context&, const ConstRowView& in, const RowView& out) const = 0;

  /// coords[j] = (b, the grid's cell of x, y, z) and kept[j] = i for every point i of cloud b whose channels are all
  /// finite and that lies in the grid's range, or is clamped to it, in input order. Returns how many are kept, or -1
  /// where such a point has a cell beyond +-2^30.
  virtual std::int64_t quantize(const Context&, const Clouds& points, const CellGrid&, std::int32_t* coords,
                                std::int32_t* kept) const = 0;

  /// centers [level.count, 3] = origin + (c + 1/2) * size for the cells c of a grid that rounds by kFloor.
  virtual void cell_centers(const Context&, const Level&, const CellGrid&, float* centers) const = 0;

  /// indices, distances [queries, k]: the nearest points with d^2 <= radius2 (infinity: any), ascending by (d^2,
  /// index); -1 and infinity where there are fewer.
  virtual std::int64_t nearest(const Context&, const Clouds& points, const Clouds& queries, std::int64_t k,
                               float radius2, std::int32_t* indices, float* distances) const = 0;

  /// All points with d^2 <= radius2 per query, ascending by (d^2, index), in memory of `result`, which is not
  /// context.arena. `dropped` takes the number of points and queries that are not finite.
  virtual RaggedView within_radius(const Context&, const Clouds& points, const Clouds& queries, float radius2,
                                   Arena& result, std::int64_t& dropped) const = 0;

  /// indices [centers, count]: the first `count` points by index with d^2 < radius2, filled up with the first of them;
  /// where there is none the first row of the cloud, -1 when that is empty.
  virtual void ball_query(const Context&, const Clouds& points, const Clouds& centers, float radius2,
                          std::int64_t count, std::int32_t* indices) const = 0;

  /// indices [clouds, count] of furthest point sampling from each cloud's first finite point; -1 without one.
  virtual void furthest_points(const Context&, const Clouds& points, std::int64_t count, Ties,
                               std::int32_t* indices) const = 0;

  /// out[i, j] = (points[k] - centers[i], features[k]), k = indices[i, j], of widths 3 and features.channels: [centers,
  /// count, 3 + C]. k = -1 gives zeros; a null features.base adds nothing.
  virtual void group(const Context&, const ConstRowView& points, const ConstRowView& centers,
                     const std::int32_t* indices, std::int64_t count, const ConstRowView& features,
                     const RowView& out) const = 0;

  /// indices, weights [n, 3] of three_nearest().
  virtual void three_nearest(const Context&, const Clouds& points, const Clouds& centers, std::int32_t* indices,
                             float* weights) const = 0;

  /// indices, weights [n, 8] of trilinear() for points [n, 4] (batch, x, y, z) divided by `stride` [3]; `slots` is the
  /// table of the voxels' level.
  virtual void trilinear(const Context&, const float* points, std::int64_t n, const float* stride, const KeyLayout&,
                         const HashSlot* slots, std::int64_t capacity, Trilinear, std::int32_t* indices,
                         float* weights) const = 0;

  /// parents[i] = row of the coarse level that holds floor(fine[i] / stride), per axis; -1 where there is none. Where
  /// given, indices and weights [fine.count, 8] of trilinear() at fine[i] / stride among the coarse level's rows.
  virtual void link(const Context&, const Level& fine, const Level& coarse, const Window::Extents& stride,
                    std::int32_t* parents, std::int32_t* indices, float* weights) const = 0;

  /// coords [n, 3] of dense_grid_coords().
  virtual void dense_grid_coords(const Context&, const Clouds& points, std::int64_t resolution, bool normalize,
                                 float eps, float* coords) const = 0;

  /// cells[i] = ((b R + x) R + y) R + z of the rounded coordinates (half to even), -1 for NaN, for `coords` in
  /// [0, R - 1].
  virtual void dense_cells(const Context&, const Clouds& coords, std::int64_t resolution,
                           std::int32_t* cells) const = 0;

  /// indices, weights [n, 8] of the cells around each coordinate, z fastest, -1 and 0 where a weight is 0 or the
  /// coordinate NaN.
  virtual void dense_corners(const Context&, const Clouds& coords, std::int64_t resolution, std::int32_t* indices,
                             float* weights) const = 0;

  /// out[i] = sum_j weights[i, j] * in[indices[i, j]] over j = 0 .. k - 1 in order, k <= 8; an index -1 and a weight
  /// 0 add nothing. indices, weights [out.count, k]. Where a view is i8, every product and sum is rounded.
  virtual void interpolate(const Context&, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                           std::int64_t k, const RowView& out) const = 0;

  /// The adjoint: out[s] = sum of weights[i, j] * grad[i] over all (i, j), ascending, with indices[i, j] == s; any k.
  /// An index -1 and a weight 0 add nothing; null weights are 1, as for picked rows. indices, weights [grad.count, k].
  virtual void interpolate_backward(const Context&, const ConstRowView& grad, const std::int32_t* indices,
                                    const float* weights, std::int64_t k, const RowView& out) const = 0;
};

namespace cpu {
const PointVoxelKernels& point_voxel_kernels();
}
namespace cuda {
const PointVoxelKernels& point_voxel_kernels();
}

inline const PointVoxelKernels& point_voxel_kernels(Device device) {
  return on<PointVoxelKernels>(device, cpu::point_voxel_kernels, cuda::point_voxel_kernels);
}

}  // namespace voxshift
