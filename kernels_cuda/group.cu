// Neighbours relative to their center.
#include <voxshift/kernels_cuda/point_voxel.h>
#include <voxshift/kernels_cuda/rows.h>

namespace voxshift::cuda {
namespace {

template <class Features, class Out>
void group_rows(const Queue& queue, Rows<const float> points, Rows<const float> centers, const std::int32_t* indices,
                std::int64_t count, Features features, Out out) {
  for_each_cell(queue, centers.count * count, 3 + features.channels, [=] __device__(std::int64_t j, std::int64_t c) {
    const std::int32_t k = indices[j];
    float x = 0;
    if (k >= 0) x = c < 3 ? points.at(k, c) - centers.at(j / count, c) : features.at(k, c - 3);
    out.set(j, c, x);
  });
}

}  // namespace

void group(const Queue& queue, const ConstRowView& points, const ConstRowView& centers, const std::int32_t* indices,
           std::int64_t count, const ConstRowView& features, const RowView& out) {
  with_rows(
      "group",
      [&](auto from, auto to) {
        group_rows(queue, rows<float>(points), rows<float>(centers), indices, count, from, to);
      },
      features, out);
}

}  // namespace voxshift::cuda
