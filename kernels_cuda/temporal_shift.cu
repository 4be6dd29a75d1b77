// The temporal shift on CUDA.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/temporal_shift/kernels.h>

namespace voxshift::cuda {
namespace {

template <class T>
void gather_rows(const Queue& queue, const ChannelRuns& in, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    std::int64_t channel = c;
    for (int r = 0; r < in.count; ++r) {
      const ChannelRun& run = in.runs[static_cast<std::size_t>(r)];
      if (channel < run.channels) {
        out.row(i)[c] = static_cast<const T*>(run.base)[i * run.row_stride + channel];
        return;
      }
      channel -= run.channels;
    }
  });
}

template <class In, class Cache>
void remember_rows(const Queue& queue, In in, const std::int32_t* picked, std::int64_t count, Cache cache) {
  for_each_cell(queue, picked != nullptr ? count : cache.count, cache.channels,
                [=] __device__(std::int64_t i, std::int64_t c) {
                  const std::int64_t row = picked != nullptr ? picked[i] : i;
                  copy_number(in, row, c, cache, row, c);
                });
}

template <class In, class Out>
void copy_run(const Queue& queue, In in, Out out) {
  for_each_cell(queue, out.count, out.channels,
                [=] __device__(std::int64_t i, std::int64_t c) { copy_number(in, i, c, out, i, c); });
}

// Run after run where what comes out is of another dtype or scale.
void convert_runs(const Queue& queue, const ChannelRuns& in, const RowView& out) {
  std::int64_t first = 0;
  for (std::size_t r = 0; r < static_cast<std::size_t>(in.count); ++r) {
    const ConstRowView run = in.rows(r, out.count);
    with_copies(
        "temporal_shift", [&](auto from, auto to) { copy_run(queue, from, to); }, run,
        out.columns(first, run.channels));
    first += run.channels;
  }
}

class CudaTemporalShiftKernels final : public TemporalShiftKernels {
 public:
  void gather_runs(const Context& context, const ChannelRuns& in, const RowView& out) const override {
    const Queue queue(context, "temporal_shift");
    const bool bytes = out.dtype == DType::kI8;
    if (in.dtype != out.dtype || (bytes && in.scales.scale != out.scales.scale)) return convert_runs(queue, in, out);
    if (bytes) return gather_rows(queue, in, rows<std::int8_t>(out));
    if (out.dtype == DType::kBF16) return gather_rows(queue, in, rows<half_t>(out));  // words of two bytes
    with_type("temporal_shift", out.dtype, [&](auto type) { gather_rows(queue, in, rows<decltype(type)>(out)); });
  }

  void remember(const Context& context, const ConstRowView& in, const std::int32_t* picked, std::int64_t count,
                const RowView& cache) const override {
    const Queue queue(context, "temporal_shift");
    with_copies(
        "temporal_shift", [&](auto from, auto to) { remember_rows(queue, from, picked, count, to); }, in, cache);
  }
};

}  // namespace

const TemporalShiftKernels& temporal_shift_kernels() {
  static const CudaTemporalShiftKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
