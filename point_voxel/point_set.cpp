#include <voxshift/point_voxel/point_set.h>
#include <voxshift/tensor/error.h>

#include <limits>

namespace voxshift {

PointSet checked(const PointSet& set, const char* op, const char* what) {
  const Array& points = set.points;
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= 3, "[", op, "] ", what,
        " expects f32 [N, C] with C >= 3, found ", name(points.dtype()), " ", points.shape());
  const std::int64_t n = points.dim(0);
  check(n <= std::numeric_limits<std::int32_t>::max(), "[", op, "] ", what, " has ", n, " points, at most 2^31 - 1");
  if (!set.row_splits) return {points, Array::from(std::vector<std::int64_t>{0, n}, {2})};
  const Array& splits = *set.row_splits;
  check(splits.dtype() == DType::kI64 && splits.rank() == 1 && splits.dim(0) >= 2 && splits.device() == Device::cpu(),
        "[", op, "] row_splits of ", what, " expects i64 [B + 1] on the cpu with B >= 1, found ", name(splits.dtype()),
        " ", splits.shape());
  const std::int64_t* s = splits.data<std::int64_t>();
  const std::int64_t last = splits.dim(0) - 1;
  check(s[0] == 0 && s[last] == n, "[", op, "] row_splits of ", what, " must go from 0 to ", n, ", found ", s[0],
        " to ", s[last]);
  for (std::int64_t b = 0; b < last; ++b)
    check(s[b] <= s[b + 1], "[", op, "] row_splits of ", what, " must ascend, found ", s[b], " before ", s[b + 1]);
  return set;
}

void check_same_clouds(const PointSet& a, const PointSet& b, const char* op, const char* names) {
  check(a.row_splits->dim(0) == b.row_splits->dim(0), "[", op, "] ", names,
        " must hold the same number of clouds, found ", a.row_splits->dim(0) - 1, " and ", b.row_splits->dim(0) - 1);
  check(a.points.device() == b.points.device(), "[", op, "] ", names, " lie on ", name(a.points.device()), " and ",
        name(b.points.device()));
}

Clouds clouds_of(const PointSet& set) {
  const Array& splits = *set.row_splits;
  return {rows_of(set.points), splits.data<std::int64_t>(), splits.dim(0) - 1};
}

}  // namespace voxshift
