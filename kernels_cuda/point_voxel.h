// Methods of the contract in point_voxel/kernels.h, one group per file.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/point_voxel/kernels.h>

namespace voxshift::cuda {

// quantize.cu
std::int64_t quantize(const Queue&, const Clouds& points, const CellGrid&, std::int32_t* coords, std::int32_t* kept);
void cell_centers(const Queue&, const Level&, const CellGrid&, float* centers);
void cylindrical(const Queue&, const ConstRowView& in, const RowView& out);

// neighbors.cu
std::int64_t nearest(const Queue&, const Clouds& points, const Clouds& queries, std::int64_t k, float radius2,
                     std::int32_t* indices, float* distances);
RaggedView within_radius(const Queue&, const Clouds& points, const Clouds& queries, float radius2, Arena& result,
                         std::int64_t& dropped);
void ball_query(const Queue&, const Clouds& points, const Clouds& centers, float radius2, std::int64_t count,
                std::int32_t* indices);
void three_nearest(const Queue&, const Clouds& points, const Clouds& centers, std::int32_t* indices, float* weights);

// sampling.cu
void furthest_points(const Queue&, const Clouds& points, std::int64_t count, Ties, std::int32_t* indices);

// group.cu
void group(const Queue&, const ConstRowView& points, const ConstRowView& centers, const std::int32_t* indices,
           std::int64_t count, const ConstRowView& features, const RowView& out);

// interpolate.cu
void trilinear(const Queue&, const float* points, std::int64_t n, const float* stride, const KeyLayout&,
               const HashSlot* slots, std::int64_t capacity, Trilinear, std::int32_t* indices, float* weights);
void link(const Queue&, const Level& fine, const Level& coarse, const Window::Extents& stride, std::int32_t* parents,
          std::int32_t* indices, float* weights);
void interpolate(const Queue&, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                 std::int64_t k, const RowView& out);
void interpolate_backward(const Queue&, const ConstRowView& grad, const std::int32_t* indices, const float* weights,
                          std::int64_t k, const RowView& out);

// dense_grid.cu
void dense_grid_coords(const Queue&, const Clouds& points, std::int64_t resolution, bool normalize, float eps,
                       float* coords);
void dense_cells(const Queue&, const Clouds& coords, std::int64_t resolution, std::int32_t* cells);
void dense_corners(const Queue&, const Clouds& coords, std::int64_t resolution, std::int32_t* indices, float* weights);

}  // namespace voxshift::cuda
