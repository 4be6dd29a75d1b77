// Voxelization of points, and of features on them.
#pragma once

#include <voxshift/point_voxel/point_set.h>
#include <voxshift/point_voxel/rounding.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <array>
#include <optional>

namespace voxshift {

/// Extents of a voxel along the three axes of its cells; one number is all of them.
struct VoxelSize {
  std::array<float, 3> each;

  VoxelSize(float all) : each{all, all, all} {}
  VoxelSize(const std::array<float, 3>& of_each) : each(of_each) {}

  bool is_cube() const { return *this == VoxelSize(each[0]); }
  bool operator==(const VoxelSize&) const = default;
};

struct VoxelizeOptions {
  VoxelSize voxel_size = 0.05f;  ///< metres, around the z axis radians
  Rounding rounding = Rounding::kHalfEven;
  std::optional<Range> range;      ///< points outside are dropped
  Reduce reduce = Reduce::kFirst;  ///< how the points of a voxel give its features
  bool from_lowest = false;  ///< count cells from the lowest of each axis, as spvnas does: it decides coarser levels
  CellAxes axes = CellAxes::kCartesian;
};

/// Voxels of a point cloud.
struct Voxels {
  SparseTensor tensor;       ///< coordinates (cloud, x, y, z) in cells, lexicographic; features are the points' columns
  Array inverse;             ///< i32 [N]: the row of each point, -1 for a dropped one
  std::int64_t dropped = 0;  ///< points that are not finite or lie outside the range
};

/// Throws InvalidArgument, with `op` in front, unless lowest < highest along each axis.
void check_valid(const Range& range, const char* op);

/// Cells are round(xyz / voxel_size) in float32 (torchsparse's sparse_quantize with the rounding of spvnas). points f32
/// [N, C], C >= 3, x y z first, metres. Throws InvalidArgument for other shapes or dtypes, a voxel size that is not
/// positive, a range that check_valid refuses, and cells that span more than a key's bits.
Voxels voxelize(const PointSet& points, const VoxelizeOptions& options = {});
inline Voxels voxelize(const Array& points, const VoxelizeOptions& options = {}) {
  return voxelize(PointSet{points, std::nullopt}, options);
}

/// Features of voxels from those of points, [voxels, C]: row v is the reduction, in order, of the rows i of features
/// [N, C], f32 or, on CUDA, f16 or bf16, summed in f32 and given in their dtype, with inverse[i] == v, inverse i32 [N];
/// -1 takes no part, a voxel without points is 0. Throws InvalidArgument for an inverse outside [-1, voxels), a result
/// of more than 2^31 - 1 numbers and Reduce::kNone. Source: torchsparse's spvoxelize (the mean).
Array voxelize_features(const Array& features, const Array& inverse, std::int64_t voxels,
                        Reduce reduce = Reduce::kMean);

/// Gradient [N, C] of the features for grad [voxels, C] of their dtype, that of voxelize_features(features, inverse,
/// voxels, reduce); inverse tells nothing of where points lie, so there is none of coordinates. A maximum's goes,
/// channel by channel, to the point that has it, among equal ones to the lowest; it alone needs the features. Throws
/// InvalidArgument as voxelize_features, and for another grad.
Array voxelize_features_backward(const std::optional<Array>& features, const Array& inverse, const Array& grad,
                                 Reduce reduce = Reduce::kMean);

/// The cells that points of one or more clouds lie in, in an arena's memory.
struct PointCells {
  Level level;                   ///< coordinates (cloud, x, y, z)
  const std::int32_t* of_point;  ///< [points]: the row of each point's cell, -1 for a point that has none
};

/// The unique cells in context.arena. A point that is not finite in all its columns, or lies outside of the grid's
/// range, has none. Throws InvalidArgument, with `op` in front, for cells that span more than a key's bits.
PointCells cells_of_points(const char* op, const Context& context, const Clouds& points, const CellGrid& grid);

/// Voxels in an arena's memory.
struct VoxelRows {
  Level level;
  const std::int32_t* kept;     ///< [points]: index of each point that was not dropped, ascending
  std::int64_t points;          ///< not dropped
  const std::int32_t* inverse;  ///< [points]: voxel of each of them
  float* features;              ///< [level.count, channels]
};

/// voxelize() for rows of f32 points with everything in context.arena; the features are the view's channels. `points`
/// and `options` are not checked.
VoxelRows voxelize_rows(const Context& context, const Clouds& points, const VoxelizeOptions& options);

}  // namespace voxshift
