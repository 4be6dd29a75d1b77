#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/row_indices.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/result_size.h>

#include <algorithm>
#include <limits>
#include <string>

namespace voxshift {
namespace {

void check_rows(const char* op, const char* what, const Array& rows, std::int64_t columns) {
  check(rows.dtype() == DType::kF32 && rows.rank() == 2 && rows.dim(1) >= columns, "[", op, "] ", what,
        columns > 0 ? " expects f32 [N, C] with C >= 3, found " : " expects f32 [N, C], found ", name(rows.dtype()),
        " ", rows.shape());
}

void check_device(const char* op, const char* what, const Array& array, Device device) {
  check(array.device() == device, "[", op, "] ", what, " is on ", name(array.device()), ", indices are on ",
        name(device));
}

// The gradient of features whose rows at `indices` are the last columns of grad, from column `first` on.
Array picked_backward(const char* op, const Array& indices, const Array& grad, std::int64_t first, std::int64_t rows) {
  check(rows >= 0 && rows <= std::numeric_limits<std::int32_t>::max(), "[", op, "] rows must be 0..2^31 - 1, found ",
        rows);
  check(indices.count() <= INT32_MAX, "[", op, "] expected at most 2^31 - 1 indices, found ", indices.count());
  const Shape& picked = indices.shape();
  const bool fits = grad.rank() == indices.rank() + 1 && grad.shape().back() >= first &&
                    std::equal(picked.begin(), picked.end(), grad.shape().begin());
  const Device device = indices.device();
  const bool is_taken = first > 0 ? grad.dtype() == DType::kF32 : takes_rows(grad.device(), grad.dtype());
  if (!is_taken || !fits) {
    std::string expected = to_string(picked);
    expected.pop_back();
    check(false, "[", op, "] grad expects ", first > 0 ? "f32" : row_dtypes(grad.device()), " ", expected,
          first > 0 ? ", 3 + C]" : ", C]", ", found ", name(grad.dtype()), " ", grad.shape());
  }
  check_size(op, "rows:", rows, grad.shape().back() - first);
  check_device(op, "grad", grad, device);
  check_row_indices(indices, rows, op, "indices");
  const std::int64_t width = grad.shape().back(), channels = width - first;
  Array out({rows, channels}, grad.dtype(), device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const ConstRowView view{grad.memory(), width, indices.count(), width, grad.dtype()};
  point_voxel_kernels(device).interpolate_backward(context, view.columns(first, channels), indices.data<std::int32_t>(),
                                                   nullptr, 1, rows_of(out));
  return out;
}

}  // namespace

Array gather(const Array& features, const Array& indices) {
  check(takes_rows(features.device(), features.dtype()) && features.rank() == 2, "[gather] features expects ",
        row_dtypes(features.device()), " [N, C], found ", name(features.dtype()), " ", features.shape());
  check(indices.dtype() == DType::kI32 && (indices.rank() == 1 || indices.rank() == 2),
        "[gather] indices expects i32 [M] or [M, U], found ", name(indices.dtype()), " ", indices.shape());
  const Device device = indices.device();
  check_device("gather", "features", features, device);
  check_row_indices(indices, features.dim(0), "gather", "indices");
  Shape shape = indices.shape();
  shape.push_back(features.dim(1));
  Array out(shape, features.dtype(), device);
  const std::int64_t channels = features.dim(1);
  const RowView rows{out.memory(), channels, indices.count(), channels, features.dtype()};
  const Context context{device, nullptr, num_threads(), nullptr};
  row_kernels(device).gather(context, rows_of(features), indices.data<std::int32_t>(), rows);
  return out;
}

Array gather_backward(const Array& indices, const Array& grad, std::int64_t rows) {
  check(indices.dtype() == DType::kI32 && (indices.rank() == 1 || indices.rank() == 2),
        "[gather_backward] indices expects i32 [M] or [M, U], found ", name(indices.dtype()), " ", indices.shape());
  return picked_backward("gather_backward", indices, grad, 0, rows);
}

Array group(const Array& points, const Array& centers, const Array& indices, const std::optional<Array>& features) {
  check_rows("group", "points", points, 3);
  check_rows("group", "centers", centers, 3);
  check(indices.dtype() == DType::kI32 && indices.rank() == 2 && indices.dim(0) == centers.dim(0),
        "[group] indices expects i32 [", centers.dim(0), ", U], one row per center, found ", name(indices.dtype()), " ",
        indices.shape());
  const Device device = indices.device();
  check_device("group", "points", points, device);
  check_device("group", "centers", centers, device);
  ConstRowView rows{};
  if (features) {
    check_rows("group", "features", *features, 0);
    check(features->dim(0) == points.dim(0), "[group] features expects a row for each of ", points.dim(0),
          " points, found ", features->shape());
    check_device("group", "features", *features, device);
    rows = rows_of(*features);
  }
  check_row_indices(indices, points.dim(0), "group", "indices");
  Array out({indices.dim(0), indices.dim(1), 3 + rows.channels}, DType::kF32, device);
  const Context context{device, nullptr, num_threads(), nullptr};
  point_voxel_kernels(device).group(context, rows_of(points), rows_of(centers), indices.data<std::int32_t>(),
                                    indices.dim(1), rows,
                                    {out.memory(), out.dim(2), indices.count(), out.dim(2), DType::kF32});
  return out;
}

Array group_backward(const Array& indices, const Array& grad, std::int64_t rows) {
  check(indices.dtype() == DType::kI32 && indices.rank() == 2, "[group_backward] indices expects i32 [M, U], found ",
        name(indices.dtype()), " ", indices.shape());
  return picked_backward("group_backward", indices, grad, 3, rows);
}

}  // namespace voxshift
