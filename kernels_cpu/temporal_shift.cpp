// The temporal shift on the CPU.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/temporal_shift/kernels.h>

#include <array>
#include <optional>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kGrain = 2048;

class CpuTemporalShiftKernels final : public TemporalShiftKernels {
 public:
  void gather_runs(const Context& context, const ChannelRuns& in, const RowView& out) const override {
    check_numbers("gather_runs", in, out);
    std::array<std::optional<RowCopy>, 3> copies;
    std::int64_t column = 0;
    for (std::size_t r = 0; r < static_cast<std::size_t>(in.count); ++r) {
      const ConstRowView run = in.rows(r, out.count);
      copies[r].emplace(run, out.columns(column, run.channels));
      column += run.channels;
    }
    parallel_ranges(context, out.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i)
        for (std::size_t r = 0; r < static_cast<std::size_t>(in.count); ++r) (*copies[r])(i, i);
    });
  }

  void remember(const Context& context, const ConstRowView& in, const std::int32_t* rows, std::int64_t count,
                const RowView& cache) const override {
    check_numbers("remember", in, cache);
    const RowCopy copy(in, cache);
    const std::int64_t n = rows ? count : cache.count;
    parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t p = first; p < last; ++p) {
        const std::int64_t i = rows ? rows[p] : p;
        copy(i, i);
      }
    });
  }
};

}  // namespace

const TemporalShiftKernels& temporal_shift_kernels() {
  choose_target();
  static const CpuTemporalShiftKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
