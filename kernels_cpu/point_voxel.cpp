// The contract of points and voxels on the CPU: every method stands in a file of its own.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/targets.h>

namespace voxshift::cpu {
namespace {

class CpuPointVoxelKernels final : public PointVoxelKernels {
 public:
  std::int64_t quantize(const Context& context, const Clouds& points, const CellGrid& grid, std::int32_t* coords,
                        std::int32_t* kept) const override {
    return cpu::quantize(context, points, grid, coords, kept);
  }
  void cylindrical(const Context& context, const ConstRowView& in, const RowView& out) const override {
    check_numbers("cylindrical", in, out);
    cpu::cylindrical(context, in, out);
  }
  void cell_centers(const Context& context, const Level& level, const CellGrid& grid, float* centers) const override {
    cpu::cell_centers(context, level, grid, centers);
  }
  std::int64_t nearest(const Context& context, const Clouds& points, const Clouds& queries, std::int64_t k,
                       float radius2, std::int32_t* indices, float* distances) const override {
    return cpu::nearest(context, points, queries, k, radius2, indices, distances);
  }
  RaggedView within_radius(const Context& context, const Clouds& points, const Clouds& queries, float radius2,
                           Arena& result, std::int64_t& dropped) const override {
    return cpu::within_radius(context, points, queries, radius2, result, dropped);
  }
  void ball_query(const Context& context, const Clouds& points, const Clouds& centers, float radius2,
                  std::int64_t count, std::int32_t* indices) const override {
    cpu::ball_query(context, points, centers, radius2, count, indices);
  }
  void furthest_points(const Context& context, const Clouds& points, std::int64_t count, Ties ties,
                       std::int32_t* indices) const override {
    cpu::furthest_points(context, points, count, ties, indices);
  }
  void group(const Context& context, const ConstRowView& points, const ConstRowView& centers,
             const std::int32_t* indices, std::int64_t count, const ConstRowView& features,
             const RowView& out) const override {
    check_numbers("group", features, out);
    cpu::group(context, points, centers, indices, count, features, out);
  }
  void three_nearest(const Context& context, const Clouds& points, const Clouds& centers, std::int32_t* indices,
                     float* weights) const override {
    cpu::three_nearest(context, points, centers, indices, weights);
  }
  void trilinear(const Context& context, const float* points, std::int64_t n, const float* stride,
                 const KeyLayout& layout, const HashSlot* slots, std::int64_t capacity, Trilinear mode,
                 std::int32_t* indices, float* weights) const override {
    cpu::trilinear(context, points, n, stride, layout, slots, capacity, mode, indices, weights);
  }
  void link(const Context& context, const Level& fine, const Level& coarse, const Window::Extents& stride,
            std::int32_t* parents, std::int32_t* indices, float* weights) const override {
    cpu::link(context, fine, coarse, stride, parents, indices, weights);
  }
  void dense_grid_coords(const Context& context, const Clouds& points, std::int64_t resolution, bool normalize,
                         float eps, float* coords) const override {
    cpu::dense_grid_coords(context, points, resolution, normalize, eps, coords);
  }
  void dense_cells(const Context& context, const Clouds& coords, std::int64_t resolution,
                   std::int32_t* cells) const override {
    cpu::dense_cells(context, coords, resolution, cells);
  }
  void dense_corners(const Context& context, const Clouds& coords, std::int64_t resolution, std::int32_t* indices,
                     float* weights) const override {
    cpu::dense_corners(context, coords, resolution, indices, weights);
  }
  void interpolate(const Context& context, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                   std::int64_t k, const RowView& out) const override {
    check_numbers("interpolate", in, out);
    cpu::interpolate(context, in, indices, weights, k, out);
  }
  void interpolate_backward(const Context& context, const ConstRowView& grad, const std::int32_t* indices,
                            const float* weights, std::int64_t k, const RowView& out) const override {
    cpu::interpolate_backward(context, grad, indices, weights, k, out);
  }
};

}  // namespace

const PointVoxelKernels& point_voxel_kernels() {
  choose_target();
  static const CpuPointVoxelKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
