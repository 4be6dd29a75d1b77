#include <voxshift/point_voxel/group.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/row_indices.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/error.h>

namespace voxshift {
namespace {

void check_rows(const char* op, const char* what, const Array& rows, std::int64_t columns) {
  check(rows.dtype() == DType::kF32 && rows.rank() == 2 && rows.dim(1) >= columns, "[", op, "] ", what,
        columns > 0 ? " expects f32 [N, C] with C >= 3, found " : " expects f32 [N, C], found ", name(rows.dtype()),
        " ", to_string(rows.shape()));
}

void check_device(const char* op, const char* what, const Array& array, Device device) {
  check(array.device() == device, "[", op, "] ", what, " is on ", name(array.device()), ", indices are on ",
        name(device));
}

}  // namespace

Array gather(const Array& features, const Array& indices) {
  check_rows("gather", "features", features, 0);
  check(indices.dtype() == DType::kI32 && (indices.rank() == 1 || indices.rank() == 2),
        "[gather] indices expects i32 [M] or [M, U], found ", name(indices.dtype()), " ", to_string(indices.shape()));
  const Device device = indices.device();
  check_device("gather", "features", features, device);
  check_row_indices(indices, features.dim(0), "gather", "indices");
  Shape shape = indices.shape();
  shape.push_back(features.dim(1));
  Array out(shape, DType::kF32, device);
  const std::int64_t channels = features.dim(1);
  const RowView rows{out.memory(), channels, indices.count(), channels, DType::kF32};
  const Context context{device, nullptr, num_threads(), nullptr};
  row_kernels(device).gather(context, rows_of(features), indices.data<std::int32_t>(), rows);
  return out;
}

Array group(const Array& points, const Array& centers, const Array& indices, const std::optional<Array>& features) {
  check_rows("group", "points", points, 3);
  check_rows("group", "centers", centers, 3);
  check(indices.dtype() == DType::kI32 && indices.rank() == 2 && indices.dim(0) == centers.dim(0),
        "[group] indices expects i32 [", centers.dim(0), ", U], one row per center, found ", name(indices.dtype()), " ",
        to_string(indices.shape()));
  const Device device = indices.device();
  check_device("group", "points", points, device);
  check_device("group", "centers", centers, device);
  ConstRowView rows{};
  if (features) {
    check_rows("group", "features", *features, 0);
    check(features->dim(0) == points.dim(0), "[group] features expects a row for each of ", points.dim(0),
          " points, found ", to_string(features->shape()));
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

}  // namespace voxshift
