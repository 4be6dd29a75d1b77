// Depthwise convolution of sparse tensors on the CPU: channel by channel over the kernel map. A block of output rows
// belongs to one thread and takes its offsets in order, so the bits do not depend on the number of threads.
#include <voxshift/kernels_cpu/finish_rows.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/sparse_depthwise.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/sparse_depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_SPARSE_DEPTHWISE
#define VOXSHIFT_KERNELS_CPU_SPARSE_DEPTHWISE
namespace voxshift::cpu {

/// What one block of a depthwise convolution reads and writes. `fused`: products and sums in one rounding, where the
/// instruction set has that.
struct DepthwiseBlock {
  const ConstRowView& in;
  const KernelMapView& map;
  const float* weight;
  const Epilogue& epilogue;
  const RowView& out;
  bool fused;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The sums of output rows [first, last), at most kSplitRows from a multiple of it on: acc[o - first] takes the product
/// of every pair (i, o), offsets in order.
struct DepthwiseSums {
  const DepthwiseBlock& conv;
  std::int64_t first;
  float* acc;
  std::int64_t stride;

  template <DType kType>
  HWY_INLINE void run() const {
    if (conv.fused) {
      add_pairs<kType, true>();
    } else {
      add_pairs<kType, false>();
    }
  }

 private:
  template <DType kType, bool kFused>
  HWY_INLINE void add_pairs() const {
    const auto lists = conv.map.layout.as<PairLists>();
    const std::int32_t* begin = lists.splits + first / kSplitRows * conv.map.volume;
    const std::int32_t* end = begin + conv.map.volume;
    for (int k = 0; k < conv.map.volume; ++k) {
      const PairList& list = lists.pairs[k];
      for (std::int64_t p = begin[k]; p < end[k]; ++p)
        add_product<kFused>(TypedRow<kType>(conv.in, list.in[p]), conv.weight + k * conv.out.channels,
                            acc + (list.out[p] - first) * stride);
    }
  }

  /// sum += in * weight
  template <bool kFused, class Row>
  HWY_INLINE void add_product(const Row& in, const float* weight, float* sum) const {
    const Floats d;
    for (std::int64_t c = 0; c < conv.out.channels; c += kLanes) {
      const std::int64_t lanes = std::min<std::int64_t>(kLanes, conv.out.channels - c);
      const FloatVector x = in(c, lanes), w = load_lanes(weight + c, lanes), so_far = hn::Load(d, sum + c);
      hn::Store(kFused ? hn::MulAdd(x, w, so_far) : hn::Add(so_far, hn::Mul(x, w)), d, sum + c);
    }
  }
};

void depthwise_sums(const DepthwiseBlock& conv, std::int64_t first, std::int64_t last, float* acc,
                    std::int64_t stride) {
  start_rows(conv.epilogue.bias, conv.out.channels, acc, stride, last - first);
  with_numbers(conv.in.dtype, DepthwiseSums{conv, first, acc, stride});
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(depthwise_sums);

void sparse_depthwise(const Context& context, const ConstRowView& in, const KernelMapView& map, const float* weight,
                      const Epilogue& epilogue, const RowView& out) {
  check_numbers("depthwise", in, epilogue.residual, out);
  const DepthwiseBlock block{in, map, weight, epilogue, out, !any_is(DType::kI8, in, epilogue.residual, out)};
  const std::int64_t stride = (out.channels + kPanel - 1) / kPanel * kPanel;
  const Arena::Mark mark = context.arena->mark();
  float* acc = context.arena->allocate<float>(kSplitRows * stride * context.threads);
  const auto depthwise_sums = HWY_DYNAMIC_DISPATCH(depthwise_sums);
  parallel_for(context, (out.count + kSplitRows - 1) / kSplitRows, [&](std::int64_t b, int thread) {
    const std::int64_t first = b * kSplitRows, last = std::min(out.count, first + kSplitRows);
    float* const sums = acc + thread * kSplitRows * stride;
    depthwise_sums(block, first, last, sums, stride);
    finish_rows({epilogue, sums, stride, first, last - first, out});
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
