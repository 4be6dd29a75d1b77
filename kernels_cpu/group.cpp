// Neighbours relative to their center.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>

#include <algorithm>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;  // rows of one task

const float* row(const ConstRowView& view, std::int64_t i) {
  return static_cast<const float*>(view.base) + i * view.row_stride;
}

float* row(const RowView& view, std::int64_t i) { return static_cast<float*>(view.base) + i * view.row_stride; }

}  // namespace

void group(const Context& context, const ConstRowView& points, const ConstRowView& centers, const std::int32_t* indices,
           std::int64_t count, const ConstRowView& features, const RowView& out) {
  const std::int64_t channels = features.channels;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, count));
  parallel_ranges(context, centers.count, grain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* center = row(centers, i);
      for (std::int64_t j = i * count; j < (i + 1) * count; ++j) {
        float* to = row(out, j);
        if (indices[j] < 0) {
          std::fill_n(to, 3 + channels, 0.0f);
          continue;
        }
        const float* point = row(points, indices[j]);
        for (int axis = 0; axis < 3; ++axis) to[axis] = point[axis] - center[axis];
        const float* from = row(features, indices[j]);
        for (std::int64_t c = 0; c < channels; ++c) to[3 + c] = from[c];
      }
    }
  });
}

}  // namespace voxshift::cpu
