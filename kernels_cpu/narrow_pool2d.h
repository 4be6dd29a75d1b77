// 2-D pooling where not all numbers are f32.
#pragma once

#include <voxshift/kernels_cpu/pixel_runs.h>

namespace voxshift::cpu {

/// VideoKernels::max_pool and avg_pool for a run of output pixels.
void max_pool_narrow_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                         const RowView& out);
void avg_pool_narrow_run(const Window2d& window, Extent2d in_extent, const ConstRowView& in, const PixelRun& pixels,
                         const RowView& out);

/// VideoKernels::mean_rows.
void mean_narrow_rows(const ConstRowView& in, const RowView& out);

}  // namespace voxshift::cpu
