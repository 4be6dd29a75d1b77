// Each operator on a scan of the simulator, as docs/operators has it.
#include <voxshift/voxshift.h>

#include <cstdint>
#include <cstdio>
#include <vector>

using namespace voxshift;

namespace {

void print(const char* name, const Array& values) {
  std::printf("%-22s [", name);
  for (const std::int64_t extent : values.shape()) std::printf(" %lld", static_cast<long long>(extent));
  std::printf(" ]\n");
}

void ball_query_example(const Array& points) {
  const Array samples = furthest_point_sample({points, {}}, 1024).reshaped({1024});
  const Array centers = gather(points, samples);
  const Array indices = ball_query({points, {}}, {centers, {}}, 0.4f, 32);
  print("ball_query", indices);
}

void dense_grid_example(const Array& points) {
  const Array coords = dense_grid_coords({points, {}}, {.resolution = 32});
  const Array grid = voxelize_dense(points, {coords, {}}, 32);
  const Array features = devoxelize_dense(grid, {coords, {}});
  print("dense_grid", features);
}

void fixed_radius_search_example(const Array& points) {
  const RaggedNeighbors ball = fixed_radius_search({points, {}}, {points, {}}, 0.2f);
  const NearestNeighbors few = hybrid_search({points, {}}, {points, {}}, 0.2f, 32);
  print("fixed_radius_search", few.indices);
  print("fixed_radius_search", ball.indices);
}

void furthest_point_sample_example(const Array& points) {
  const Array samples = furthest_point_sample({points, {}}, 4096);  // i32 [1, 4096]
  const Array centers = gather(points, samples.reshaped({4096}));
  print("furthest_point_sample", centers);
}

void group_example(const Array& points) {
  const Array centers = gather(points, furthest_point_sample({points, {}}, 512).reshaped({512}));
  const Array indices = ball_query({points, {}}, {centers, {}}, 0.4f, 32);
  const Array grouped = group(points, centers, indices, points);  // f32 [512, 32, 3 + 4]
  print("group", grouped);
}

void knn_search_example(const Array& points) {
  const NearestNeighbors nearest = knn_search({points, {}}, {points, {}}, 16);
  const std::int32_t second = nearest.indices.data<std::int32_t>()[1];  // of the first query
  std::printf("%-22s %d\n", "knn_search", static_cast<int>(second));
}

void sparse_conv_example(const Array& points) {
  const SparseTensor x = voxelize(points).tensor;
  const Array weight = Array::from(std::vector<float>(27 * 4 * 32, 0.1f), {27, 4, 32});
  const SparseTensor y = conv(x, weight, {.kernel_size = {3}, .activation = {Activation::Kind::kRelu}});
  print("sparse_conv", y.features());
}

void three_nearest_example(const Array& points) {
  const Array centers = gather(points, furthest_point_sample({points, {}}, 1024).reshaped({1024}));
  const Interpolation nearest = three_nearest({points, {}}, {centers, {}});
  const Array features = interpolate(centers, nearest);  // f32 [N, 4]
  print("three_nearest", features);
}

void trilinear_example(const Array& points) {
  const SparseTensor voxels = voxelize(points, {.voxel_size = 0.2f}).tensor;
  const Array at = Array::from(std::vector<float>{0, 10.5f, -3.25f, 0.75f}, {1, 4});  // cloud, x, y, z in cells
  const Interpolation corners = trilinear(voxels, at, Trilinear::kRaw);
  const Array features = interpolate(voxels.features(), corners);
  print("trilinear", features);
}

void voxelize_example(const Array& points) {
  const Voxels voxels = voxelize(points, {.voxel_size = 0.05f, .reduce = Reduce::kMean});
  const Array heights = voxelize_features(points, voxels.inverse, voxels.tensor.size(), Reduce::kMax);
  print("voxelize", heights);
}

}  // namespace

int main() {
  const SynthScan scan = synth_lidar(1);
  const auto points = Array::from(scan.points, {static_cast<std::int64_t>(scan.labels.size()), 4});
  ball_query_example(points);
  dense_grid_example(points);
  fixed_radius_search_example(points);
  furthest_point_sample_example(points);
  group_example(points);
  knn_search_example(points);
  sparse_conv_example(points);
  three_nearest_example(points);
  trilinear_example(points);
  voxelize_example(points);
}
