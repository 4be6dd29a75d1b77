// Methods of the contract in point_voxel/kernels.h, one group per file.
#pragma once

#include <voxshift/point_voxel/kernels.h>

namespace voxshift::cpu {

// quantize.cpp
std::int64_t quantize(const Context&, const Clouds& points, const CellGrid&, std::int32_t* coords, std::int32_t* kept);
void cell_centers(const Context&, const Level&, const CellGrid&, float* centers);
void cylindrical(const Context&, const ConstRowView& in, const RowView& out);

// nearest.cpp
std::int64_t nearest(const Context&, const Clouds& points, const Clouds& queries, std::int64_t k, float radius2,
                     std::int32_t* indices, float* distances);
void three_nearest(const Context&, const Clouds& points, const Clouds& centers, std::int32_t* indices, float* weights);

// within_radius.cpp
RaggedView within_radius(const Context&, const Clouds& points, const Clouds& queries, float radius2, Arena& result,
                         std::int64_t& dropped);
void ball_query(const Context&, const Clouds& points, const Clouds& centers, float radius2, std::int64_t count,
                std::int32_t* indices);

// furthest_points.cpp
void furthest_points(const Context&, const Clouds& points, std::int64_t count, Ties, std::int32_t* indices);

// group.cpp
void group(const Context&, const ConstRowView& points, const ConstRowView& centers, const std::int32_t* indices,
           std::int64_t count, const ConstRowView& features, const RowView& out);

// interpolate.cpp
void trilinear(const Context&, const float* points, std::int64_t n, const float* stride, const KeyLayout&,
               const HashSlot* slots, std::int64_t capacity, Trilinear, std::int32_t* indices, float* weights);
void link(const Context&, const Level& fine, const Level& coarse, const Window::Extents& stride, std::int32_t* parents,
          std::int32_t* indices, float* weights);
void interpolate(const Context&, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                 std::int64_t k, const RowView& out);

// interpolate_backward.cpp
void interpolate_backward(const Context&, const ConstRowView& grad, const std::int32_t* indices, const float* weights,
                          std::int64_t k, const RowView& out);

// dense_grid.cpp
void dense_grid_coords(const Context&, const Clouds& points, std::int64_t resolution, bool normalize, float eps,
                       float* coords);
void dense_cells(const Context&, const Clouds& coords, std::int64_t resolution, std::int32_t* cells);
void dense_corners(const Context&, const Clouds& coords, std::int64_t resolution, std::int32_t* indices,
                   float* weights);

}  // namespace voxshift::cpu
