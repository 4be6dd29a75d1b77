// Depthwise convolution of sparse tensors on the CPU: channel by channel over the kernel map. A block of output rows
// belongs to one thread and takes its offsets in order, so the bits do not depend on the number of threads.
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

#ifndef VOXSHIFT_KERNELS_CPU_SPARSE_DEPTHWISE
#define VOXSHIFT_KERNELS_CPU_SPARSE_DEPTHWISE
namespace voxshift::cpu {

/// What one block of a depthwise convolution reads and writes.
struct DepthwiseBlock {
  const ConstRowView& in;
  const KernelMapView& map;
  const float* weight;
  const Epilogue& epilogue;
  const RowView& out;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

// sum += in * weight
HWY_INLINE void add_product(const float* in, const float* weight, std::int64_t channels, float* sum) {
  const Floats d;
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    const std::int64_t lanes = std::min<std::int64_t>(kLanes, channels - c);
    hn::Store(hn::MulAdd(load_lanes(in + c, lanes), load_lanes(weight + c, lanes), hn::Load(d, sum + c)), d, sum + c);
  }
}

// Output rows [first, last), at most kSplitRows from a multiple of it on; `acc` holds their accumulators.
void depthwise_block(const DepthwiseBlock& conv, std::int64_t first, std::int64_t last, float* acc,
                     std::int64_t stride) {
  const std::int64_t channels = conv.out.channels;
  start_rows(conv.epilogue.bias, channels, acc, stride, last - first);
  const auto lists = conv.map.layout.as<PairLists>();
  const std::int32_t* begin = lists.splits + first / kSplitRows * conv.map.volume;
  const std::int32_t* end = begin + conv.map.volume;
  for (int k = 0; k < conv.map.volume; ++k) {
    const PairList& list = lists.pairs[k];
    for (std::int64_t p = begin[k]; p < end[k]; ++p)
      add_product(static_cast<const float*>(conv.in.base) + list.in[p] * conv.in.row_stride, conv.weight + k * channels,
                  channels, acc + (list.out[p] - first) * stride);
  }
  with_activation(conv.epilogue.activation.kind, FinishRows{conv.epilogue, acc, stride, first, last - first, conv.out});
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(depthwise_block);

void sparse_depthwise(const Context& context, const ConstRowView& in, const KernelMapView& map, const float* weight,
                      const Epilogue& epilogue, const RowView& out) {
  const DepthwiseBlock block{in, map, weight, epilogue, out};
  const std::int64_t stride = (out.channels + kPanel - 1) / kPanel * kPanel;
  const Arena::Mark mark = context.arena->mark();
  float* acc = context.arena->allocate<float>(kSplitRows * stride * context.threads);
  const auto depthwise_block = HWY_DYNAMIC_DISPATCH(depthwise_block);
  parallel_for(context, (out.count + kSplitRows - 1) / kSplitRows, [&](std::int64_t b, int thread) {
    depthwise_block(block, b * kSplitRows, std::min(out.count, (b + 1) * kSplitRows),
                    acc + thread * kSplitRows * stride, stride);
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
