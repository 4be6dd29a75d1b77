// Contract of the temporal shift.
#pragma once

#include <voxshift/tensor/channel_runs.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>

namespace voxshift {

/// Kernels of the temporal shift. Features are f32, f16, bf16 (not on CUDA) or i8; what goes in and what comes out may
/// differ, as in RowKernels.
class TemporalShiftKernels {
 public:
  virtual ~TemporalShiftKernels() = default;

  /// out[i] = the channels of row i of all runs, for the count of `out`.
  virtual void gather_runs(const Context&, const ChannelRuns& in, const RowView& out) const = 0;

  /// cache[i] = the first cache.channels channels of in[i], for every i of rows[0 .. count), or for all rows of the
  /// cache where `rows` is null.
  virtual void remember(const Context&, const ConstRowView& in, const std::int32_t* rows, std::int64_t count,
                        const RowView& cache) const = 0;
};

namespace cpu {
const TemporalShiftKernels& temporal_shift_kernels();
}
namespace cuda {
const TemporalShiftKernels& temporal_shift_kernels();
}

inline const TemporalShiftKernels& temporal_shift_kernels(Device device) {
  return on<TemporalShiftKernels>(device, cpu::temporal_shift_kernels, cuda::temporal_shift_kernels);
}

}  // namespace voxshift
