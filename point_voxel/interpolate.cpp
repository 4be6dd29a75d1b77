#include <voxshift/point_voxel/interpolate.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/row_indices.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/features.h>

#include <algorithm>
#include <array>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kMostRows = 8;  // of one mixture

// The features of each row's mixture. Nothing is checked.
Array mixed(const Array& features, const Interpolation& interpolation) {
  const Array &indices = interpolation.indices, &weights = interpolation.weights;
  Arena scratch(features.device());
  const Context context{features.device(), nullptr, num_threads(), &scratch};
  Array out({indices.dim(0), features.dim(1)}, features.dtype(), features.device());
  point_voxel_kernels(context.device)
      .interpolate(context, rows_of(features), indices.data<std::int32_t>(), weights.data<float>(), indices.dim(1),
                   rows_of(out));
  return out;
}

// And back: the gradient of the features.
Array shared_out(const Interpolation& interpolation, const Array& grad) {
  const Array &indices = interpolation.indices, &weights = interpolation.weights;
  Arena scratch(grad.device());
  const Context context{grad.device(), nullptr, num_threads(), &scratch};
  Array out({interpolation.rows, grad.dim(1)}, grad.dtype(), grad.device());
  point_voxel_kernels(context.device)
      .interpolate_backward(context, rows_of(grad), indices.data<std::int32_t>(), weights.data<float>(), indices.dim(1),
                            rows_of(out));
  return out;
}

// The entries of a gradient are numbered in 32 bits.
void check_entries(const char* op, const Shape& indices) {
  check(count_of(indices) <= INT32_MAX, "[", op, "] expected at most 2^31 - 1 indices, found ", count_of(indices));
}

void check_grad(const char* op, const Array& grad, std::int64_t rows, Device device) {
  check(takes_rows(device, grad.dtype()) && grad.rank() == 2 && grad.dim(0) == rows, "[", op, "] grad expects ",
        row_dtypes(device), " [", rows, ", C], found ", name(grad.dtype()), " ", grad.shape());
  check(grad.device() == device, "[", op, "] grad is on ", name(grad.device()), ", not on ", name(device));
}

void check_interpolation(const char* op, const Interpolation& interpolation, const char* operand, Device device) {
  const auto& [indices, weights, rows] = interpolation;
  check(indices.dtype() == DType::kI32 && indices.rank() == 2 && indices.dim(1) >= 1 && indices.dim(1) <= kMostRows,
        "[", op, "] indices expects i32 [N, K] with K = 1..", kMostRows, ", found ", name(indices.dtype()), " ",
        indices.shape());
  check(weights.dtype() == DType::kF32 && weights.shape() == indices.shape(), "[", op, "] weights expects f32 ",
        indices.shape(), ", found ", name(weights.dtype()), " ", weights.shape());
  check(indices.device() == device && weights.device() == device, "[", op, "] ", operand,
        ", indices and weights must be on one device, found ", name(device), ", ", name(indices.device()), " and ",
        name(weights.device()));
  check_row_indices(indices, rows, op, "indices");
}

}  // namespace

Interpolation trilinear(const Coordinates& voxels, const Array& points, Trilinear mode) {
  check(voxels.dims() == 3, "[trilinear] voxels must have 3 dimensions, found ", voxels.dims());
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) == 4,
        "[trilinear] points expects f32 [N, 4] (batch, x, y, z), found ", name(points.dtype()), " ", points.shape());
  check(points.device() == voxels.device(), "[trilinear] points is on ", name(points.device()), ", voxels is on ",
        name(voxels.device()));
  const Device device = points.device();
  const std::int64_t n = points.dim(0);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  std::array<float, 3> stride{};
  std::copy_n(voxels.stride().begin(), stride.size(), stride.begin());
  const auto [slots, capacity] = voxels.map()->table();
  Interpolation result{Array({n, 8}, DType::kI32, device), Array({n, 8}, DType::kF32, device), voxels.size()};
  point_voxel_kernels(device).trilinear(context, points.data<float>(), n, stride.data(), voxels.map()->level().layout,
                                        slots, capacity, mode, result.indices.data<std::int32_t>(),
                                        result.weights.data<float>());
  return result;
}

Array devoxelize(const SparseTensor& voxels, const Array& points, Trilinear mode) {
  check(takes_rows(voxels.device(), voxels.dtype()), "[devoxelize] voxels expects ", row_dtypes(voxels.device()),
        " features, found ", name(voxels.dtype()));
  return mixed(voxels.features(), trilinear(voxels, points, mode));
}

Array devoxelize_backward(const Coordinates& voxels, const Array& points, const Array& grad, Trilinear mode) {
  check_entries("devoxelize_backward", {points.dim(0), 8});
  const Interpolation interpolation = trilinear(voxels, points, mode);
  check_grad("devoxelize_backward", grad, points.dim(0), points.device());
  return shared_out(interpolation, grad);
}

Interpolation three_nearest(const PointSet& points, const PointSet& centers) {
  const PointSet from = checked(centers, "three_nearest", "centers"), to = checked(points, "three_nearest", "points");
  check_same_clouds(to, from, "three_nearest", "points and centers");
  const Device device = to.points.device();
  const std::int64_t n = to.points.dim(0);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  Interpolation result{Array({n, 3}, DType::kI32, device), Array({n, 3}, DType::kF32, device), from.points.dim(0)};
  point_voxel_kernels(device).three_nearest(context, clouds_of(to), clouds_of(from),
                                            result.indices.data<std::int32_t>(), result.weights.data<float>());
  return result;
}

Array interpolate(const Array& features, const Interpolation& interpolation) {
  const std::int64_t rows = interpolation.rows;
  check(takes_rows(features.device(), features.dtype()) && features.rank() == 2, "[interpolate] features expects ",
        row_dtypes(features.device()), " [", rows, ", C], found ", name(features.dtype()), " ", features.shape());
  check(features.dim(0) == rows, "[interpolate] the indices speak of ", rows, " rows, features has ", features.dim(0));
  check_interpolation("interpolate", interpolation, "features", features.device());
  return mixed(features, interpolation);
}

Array interpolate_backward(const Interpolation& interpolation, const Array& grad) {
  constexpr const char* kOp = "interpolate_backward";
  check(interpolation.rows >= 0, "[", kOp, "] the indices speak of ", interpolation.rows, " rows");
  check_entries(kOp, interpolation.indices.shape());
  check_interpolation(kOp, interpolation, "grad", interpolation.indices.device());
  check_grad(kOp, grad, interpolation.indices.dim(0), interpolation.indices.device());
  return shared_out(interpolation, grad);
}

}  // namespace voxshift
