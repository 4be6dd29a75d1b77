// Weighted sums of rows where not all numbers are f32.
#pragma once

#include <voxshift/tensor/row_view.h>

#include <cstdint>

namespace voxshift::cpu {

/// Operands of PointVoxelKernels::interpolate(). `fused`: products and sums in one rounding, where the instruction set
/// has that.
struct NarrowMixture {
  const ConstRowView& in;
  const std::int32_t* indices;  ///< [out.count, k]
  const float* weights;
  std::int64_t k;  ///< at most 8
  const RowView& out;
  bool fused;
};

/// Rows [first, last) of interpolate().
void mix_narrow_rows(const NarrowMixture& op, std::int64_t first, std::int64_t last);

}  // namespace voxshift::cpu
