// Neighbours relative to their center.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>

#include <algorithm>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;  // rows of one task

const float* row(const ConstRowView& view, std::int64_t i) {
  return static_cast<const float*>(view.base) + i * view.row_stride;
}

}  // namespace

void group(const Context& context, const ConstRowView& points, const ConstRowView& centers, const std::int32_t* indices,
           std::int64_t count, const ConstRowView& features, const RowView& out) {
  const RowCopy copy(features.base != nullptr ? features : points, out.columns(3, features.channels)), zeros(out, out);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, count));
  parallel_ranges(context, centers.count, grain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* center = row(centers, i);
      for (std::int64_t j = i * count; j < (i + 1) * count; ++j) {
        if (indices[j] < 0) {
          zeros(-1, j);
          continue;
        }
        const float* point = row(points, indices[j]);
        for (int axis = 0; axis < 3; ++axis) set_number(out, j, axis, point[axis] - center[axis]);
        copy(indices[j], j);
      }
    }
  });
}

}  // namespace voxshift::cpu
