// Interpolation of features, trilinear or from three neighbours, as indices and weights that can be used again.
#pragma once

#include <voxshift/point_voxel/point_set.h>
#include <voxshift/tensor/sparse_tensor.h>

namespace voxshift {

/// out[i] = sum_j weights[i, j] * in[indices[i, j]], j ascending; an index -1 and a weight 0 add nothing.
struct Interpolation {
  Array indices;          ///< i32 [N, K]
  Array weights;          ///< f32 [N, K]
  std::int64_t rows = 0;  ///< rows of `in` that the indices speak of
};

/// What becomes of the weights when corners are missing.
enum class Trilinear {
  kRenormalized,  ///< w / (sum of present + 1e-8): torchsparse
  kRaw,           ///< as they are: MinkowskiEngine
};

/// The 8 corners around each point on the voxels' lattice, z fastest (000, 001, .. 111), and their weights: products of
/// 1 - f and f, f the fraction of the coordinate. points f32 [N, 4]: batch, x, y, z in cells of the network's input;
/// they are divided by voxels.stride(). Absent corners, and those of points that are not finite or whose batch is no
/// whole number, have index -1 and weight 0; a present corner keeps its index where its weight is 0. 3-D tensors only.
/// Sources: torchsparse's calc_ti_weights, MinkowskiEngine's features_at_coordinates.
Interpolation trilinear(const Coordinates& voxels, const Array& points, Trilinear mode = Trilinear::kRenormalized);

/// Features of the voxels at the points, [N, C] of their dtype: interpolate(voxels.features(), trilinear(voxels,
/// points, mode)).
Array devoxelize(const SparseTensor& voxels, const Array& points, Trilinear mode = Trilinear::kRenormalized);

/// Gradient [V, C] of the voxels' features, not of where the points lie, for grad [N, C] of their dtype, that of
/// devoxelize(voxels, points, mode): interpolate_backward(trilinear(voxels, points, mode), grad).
Array devoxelize_backward(const Coordinates& voxels, const Array& points, const Array& grad,
                          Trilinear mode = Trilinear::kRenormalized);

/// The three nearest centers of each point by (squared distance, index) with weights in proportion to 1 / d^2, d^2
/// clamped to [1e-10, 1e10], that sum to 1. With fewer than three centers the missing ones have d^2 = 1e10 and the
/// index of the cloud's first center; without any, -1 and 0. Points that are not finite have -1 and 0. Source:
/// PointNet++.
Interpolation three_nearest(const PointSet& points, const PointSet& centers);

/// Applies an interpolation, K = 1..8, to features [rows, C], f32 or, on CUDA, f16 or bf16, summed in f32. Gives [N, C]
/// of their dtype. Throws InvalidArgument when the features have another number of rows and for indices out of range.
Array interpolate(const Array& features, const Interpolation& interpolation);

/// Gradient [rows, C] of the features, not of the weights, for grad [N, C], that of interpolate(features,
/// interpolation), both of the features' dtype: the sum, in f32, of weights[i, j] * grad[i] over all (i, j), ascending,
/// whose index is the row. Throws InvalidArgument for another grad, indices out of range and more than 2^31 - 1 of
/// them.
Array interpolate_backward(const Interpolation& interpolation, const Array& grad);

}  // namespace voxshift
