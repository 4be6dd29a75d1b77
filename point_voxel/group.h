// Rows picked by index.
#pragma once

#include <voxshift/point_voxel/point_set.h>

namespace voxshift {

/// features f32 [N, C] at indices i32 [M] or [M, U]: f32 [M, C] or [M, U, C] (PointNet++'s gather and grouping). -1
/// gives zeros. Throws InvalidArgument for an index outside [-1, N).
Array gather(const Array& features, const Array& indices);

/// f32 [M, U, 3 + C]: position of each neighbour relative to its center, then its features [N, C] where given. points
/// f32 [N, >= 3], centers f32 [M, >= 3], indices i32 [M, U] of ball_query, treated as by gather. Source: PointNet++'s
/// QueryAndGroup, PVCNN's BallQuery.
Array group(const Array& points, const Array& centers, const Array& indices, const std::optional<Array>& features = {});

}  // namespace voxshift
