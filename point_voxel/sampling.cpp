#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/sampling.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/result_size.h>

namespace voxshift {

Array furthest_point_sample(const PointSet& set, std::int64_t num_samples, Ties ties) {
  const PointSet clouds = checked(set, "furthest_point_sample", "points");
  check(num_samples >= 1, "[furthest_point_sample] num_samples must be at least 1, found ", num_samples);
  const Device device = clouds.points.device();
  const Clouds view = clouds_of(clouds);
  check_size("furthest_point_sample", "clouds:", view.count, num_samples);
  Array indices({view.count, num_samples}, DType::kI32, device);
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  point_voxel_kernels(device).furthest_points(context, view, num_samples, ties, indices.data<std::int32_t>());
  return indices;
}

}  // namespace voxshift
