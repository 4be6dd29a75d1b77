// The temporal shift on the CPU.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/with_type.h>
#include <voxshift/temporal_shift/kernels.h>

#include <algorithm>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;

class CpuTemporalShiftKernels final : public TemporalShiftKernels {
 public:
  void gather_runs(const Context& context, const ChannelRuns& in, const RowView& out) const override {
    with_type<float>("gather_runs", in.dtype, [&](auto) {
      parallel_ranges(context, out.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
        for (std::int64_t i = first; i < last; ++i) {
          float* to = static_cast<float*>(out.base) + i * out.row_stride;
          for (int r = 0; r < in.count; ++r) {
            const ChannelRun& run = in.runs[static_cast<std::size_t>(r)];
            to = std::copy_n(run.row<float>(i), run.channels, to);
          }
        }
      });
    });
  }

  void remember(const Context& context, const ConstRowView& in, const std::int32_t* rows, std::int64_t count,
                const RowView& cache) const override {
    with_type<float>("remember", in.dtype, [&](auto) {
      const std::int64_t n = rows ? count : cache.count;
      parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
        for (std::int64_t p = first; p < last; ++p) {
          const std::int64_t i = rows ? rows[p] : p;
          std::copy_n(static_cast<const float*>(in.base) + i * in.row_stride, cache.channels,
                      static_cast<float*>(cache.base) + i * cache.row_stride);
        }
      });
    });
  }
};

}  // namespace

const TemporalShiftKernels& temporal_shift_kernels() {
  static const CpuTemporalShiftKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
