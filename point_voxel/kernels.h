// Contract of operators between points and voxels.
#pragma once

#include <voxshift/point_voxel/rounding.h>
#include <voxshift/tensor/row_view.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift {

/// Kernels between points and voxels.
class PointVoxelKernels {
 public:
  virtual ~PointVoxelKernels() = default;

  /// coords[j] = (0, round(x / size), round(y / size), round(z / size)) in float32 division and kept[j] = i for every
  /// point i whose channels are all finite and that lies in `range` (null: anywhere), in input order. points f32, x y z
  /// first. Returns how many are kept, or -1 where such a point has a cell beyond +-2^30.
  virtual std::int64_t quantize(const Context&, const ConstRowView& points, float size, Rounding, const Range* range,
                                std::int32_t* coords, std::int32_t* kept) const = 0;
};

namespace cpu {
const PointVoxelKernels& point_voxel_kernels();
}
namespace cuda {
const PointVoxelKernels& point_voxel_kernels();
}

inline const PointVoxelKernels& point_voxel_kernels(Device device) {
  return on<PointVoxelKernels>(device, cpu::point_voxel_kernels, cuda::point_voxel_kernels);
}

}  // namespace voxshift
