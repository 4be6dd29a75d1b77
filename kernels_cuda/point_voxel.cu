// The contract of points and voxels on CUDA: every group of methods stands in a file of its own.
#include <voxshift/kernels_cuda/point_voxel.h>

namespace voxshift::cuda {
namespace {

class CudaPointVoxelKernels final : public PointVoxelKernels {
 public:
  std::int64_t quantize(const Context& context, const Clouds& points, const CellGrid& grid, std::int32_t* coords,
                        std::int32_t* kept) const override {
    return cuda::quantize(Queue(context, "quantize"), points, grid, coords, kept);
  }
  void cylindrical(const Context& context, const ConstRowView& in, const RowView& out) const override {
    cuda::cylindrical(Queue(context, "cylindrical"), in, out);
  }
  void cell_centers(const Context& context, const Level& level, const CellGrid& grid, float* centers) const override {
    cuda::cell_centers(Queue(context, "cell_centers"), level, grid, centers);
  }
  std::int64_t nearest(const Context& context, const Clouds& points, const Clouds& queries, std::int64_t k,
                       float radius2, std::int32_t* indices, float* distances) const override {
    return cuda::nearest(Queue(context, "nearest"), points, queries, k, radius2, indices, distances);
  }
  RaggedView within_radius(const Context& context, const Clouds& points, const Clouds& queries, float radius2,
                           Arena& result, std::int64_t& dropped) const override {
    return cuda::within_radius(Queue(context, "within_radius"), points, queries, radius2, result, dropped);
  }
  void ball_query(const Context& context, const Clouds& points, const Clouds& centers, float radius2,
                  std::int64_t count, std::int32_t* indices) const override {
    cuda::ball_query(Queue(context, "ball_query"), points, centers, radius2, count, indices);
  }
  void furthest_points(const Context& context, const Clouds& points, std::int64_t count, Ties ties,
                       std::int32_t* indices) const override {
    cuda::furthest_points(Queue(context, "furthest_points"), points, count, ties, indices);
  }
  void group(const Context& context, const ConstRowView& points, const ConstRowView& centers,
             const std::int32_t* indices, std::int64_t count, const ConstRowView& features,
             const RowView& out) const override {
    cuda::group(Queue(context, "group"), points, centers, indices, count, features, out);
  }
  void three_nearest(const Context& context, const Clouds& points, const Clouds& centers, std::int32_t* indices,
                     float* weights) const override {
    cuda::three_nearest(Queue(context, "three_nearest"), points, centers, indices, weights);
  }
  void trilinear(const Context& context, const float* points, std::int64_t n, const float* stride,
                 const KeyLayout& layout, const HashSlot* slots, std::int64_t capacity, Trilinear mode,
                 std::int32_t* indices, float* weights) const override {
    cuda::trilinear(Queue(context, "trilinear"), points, n, stride, layout, slots, capacity, mode, indices, weights);
  }
  void link(const Context& context, const Level& fine, const Level& coarse, const Window::Extents& stride,
            std::int32_t* parents, std::int32_t* indices, float* weights) const override {
    cuda::link(Queue(context, "link"), fine, coarse, stride, parents, indices, weights);
  }
  void dense_grid_coords(const Context& context, const Clouds& points, std::int64_t resolution, bool normalize,
                         float eps, float* coords) const override {
    cuda::dense_grid_coords(Queue(context, "dense_grid_coords"), points, resolution, normalize, eps, coords);
  }
  void dense_cells(const Context& context, const Clouds& coords, std::int64_t resolution,
                   std::int32_t* cells) const override {
    cuda::dense_cells(Queue(context, "dense_cells"), coords, resolution, cells);
  }
  void dense_corners(const Context& context, const Clouds& coords, std::int64_t resolution, std::int32_t* indices,
                     float* weights) const override {
    cuda::dense_corners(Queue(context, "dense_corners"), coords, resolution, indices, weights);
  }
  void interpolate(const Context& context, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                   std::int64_t k, const RowView& out) const override {
    cuda::interpolate(Queue(context, "interpolate"), in, indices, weights, k, out);
  }
  void interpolate_backward(const Context& context, const ConstRowView& grad, const std::int32_t* indices,
                            const float* weights, std::int64_t k, const RowView& out) const override {
    cuda::interpolate_backward(Queue(context, "interpolate_backward"), grad, indices, weights, k, out);
  }
};

}  // namespace

const PointVoxelKernels& point_voxel_kernels() {
  static const CudaPointVoxelKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
