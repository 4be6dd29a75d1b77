// Gathering and grouping of rows by index, and their gradients.
#pragma once

#include <voxshift/point_voxel/point_set.h>

namespace voxshift {

/// features [N, C], f32 or, on CUDA, f16 or bf16, at indices i32 [M] or [M, U]: [M, C] or [M, U, C] of their dtype
/// (PointNet++'s gather and grouping). -1 gives zeros. Throws InvalidArgument for an index outside [-1, N).
Array gather(const Array& features, const Array& indices);

/// Gradient [rows, C] of features [rows, C] for grad [M, C] or [M, U, C] of their dtype, that of gather(features,
/// indices): the sum, in order and in f32, of the rows of grad whose index is the row. Throws InvalidArgument for
/// another grad and for an index outside [-1, rows).
Array gather_backward(const Array& indices, const Array& grad, std::int64_t rows);

/// f32 [M, U, 3 + C]: position of each neighbour relative to its center, then its features [N, C] where given. points
/// f32 [N, >= 3], centers f32 [M, >= 3], indices i32 [M, U] of ball_query, treated as by gather. Source: PointNet++'s
/// QueryAndGroup, PVCNN's BallQuery.
Array group(const Array& points, const Array& centers, const Array& indices, const std::optional<Array>& features = {});

/// Gradient f32 [rows, C] of group()'s features f32 [rows, C], not of its points and centers, for grad f32
/// [M, U, 3 + C]. Throws InvalidArgument as gather_backward.
Array group_backward(const Array& indices, const Array& grad, std::int64_t rows);

}  // namespace voxshift
