// The temporal shift on CUDA.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/temporal_shift/kernels.h>

namespace voxshift::cuda {
namespace {

void gather_rows(const Queue& queue, const ChannelRuns& in, Rows<float> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    std::int64_t channel = c;
    for (int r = 0; r < in.count; ++r) {
      const ChannelRun& run = in.runs[static_cast<std::size_t>(r)];
      if (channel < run.channels) {
        out.set(i, c, run.base[i * run.row_stride + channel]);
        return;
      }
      channel -= run.channels;
    }
  });
}

void remember_rows(const Queue& queue, Rows<const float> in, const std::int32_t* picked, std::int64_t count,
                   Rows<float> cache) {
  for_each_cell(queue, picked != nullptr ? count : cache.count, cache.channels,
                [=] __device__(std::int64_t i, std::int64_t c) {
                  const std::int64_t row = picked != nullptr ? picked[i] : i;
                  cache.set(row, c, in.at(row, c));
                });
}

class CudaTemporalShiftKernels final : public TemporalShiftKernels {
 public:
  void gather_runs(const Context& context, const ChannelRuns& in, const RowView& out) const override {
    gather_rows(Queue(context, "temporal_shift"), in, rows<float>(out));
  }

  void remember(const Context& context, const ConstRowView& in, const std::int32_t* picked, std::int64_t count,
                const RowView& cache) const override {
    remember_rows(Queue(context, "temporal_shift"), rows<float>(in), picked, count, rows<float>(cache));
  }
};

}  // namespace

const TemporalShiftKernels& temporal_shift_kernels() {
  static const CudaTemporalShiftKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
