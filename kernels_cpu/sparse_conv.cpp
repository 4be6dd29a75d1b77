// Sparse convolution and pooling on the CPU. Output rows go in blocks whose accumulators stay in the L2 cache while all
// offsets pass over them; the product reads input rows in place, so nothing is gathered, scattered or multiplied by
// zero. A block belongs to one thread and takes its offsets in order: the same bits for any number of threads.
#include <voxshift/kernels_cpu/cache_size.h>
#include <voxshift/kernels_cpu/finish_rows.h>
#include <voxshift/kernels_cpu/narrow_rows.h>
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pool_backward.h>
#include <voxshift/kernels_cpu/sparse_depthwise.h>
#include <voxshift/kernels_cpu/sparse_pool.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/weight_gradient.h>
#include <voxshift/kernels_cpu/with_type.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/sparse_conv.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/matmul.h>

#ifndef VOXSHIFT_KERNELS_CPU_CONV_BLOCK
#define VOXSHIFT_KERNELS_CPU_CONV_BLOCK
namespace voxshift::cpu {

/// What one block of a convolution reads and writes.
struct ConvBlock {
  const ConstRowView& in;
  const KernelMapView& map;
  const Epilogue& epilogue;
  const RowView& out;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

// Output rows [first, last), first a multiple of kSplitRows; `acc` holds their accumulators.
void sum_block(const ConvBlock& conv, const PackedPanels& weights, std::int64_t first, std::int64_t last, float* acc) {
  const std::int64_t stride = weights.panels() * kPanel;
  start_rows(conv.epilogue.bias, conv.out.channels, acc, stride, last - first);
  Product product{static_cast<const float*>(conv.in.base),
                  conv.in.row_stride,
                  weights.in_channels,
                  nullptr,
                  acc,
                  stride,
                  weights.panels(),
                  first};
  const auto lists = conv.map.layout.as<PairLists>();
  const std::int32_t* begin = lists.splits + first / kSplitRows * conv.map.volume;
  const std::int32_t* end = lists.splits + (last + kSplitRows - 1) / kSplitRows * conv.map.volume;
  for (int k = 0; k < conv.map.volume; ++k) {
    const PairList& list = lists.pairs[k];
    product.weight = weights.offset(k);
    multiply(product, list.in + begin[k], list.out + begin[k], end[k] - begin[k]);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sum_block);
namespace {

constexpr std::int64_t kMostBlockRows = 2048;
constexpr std::int64_t kCellGrain = 4096;  // cells of a dense array in one task

std::int64_t block_rows(std::int64_t acc_stride) {
  const std::int64_t row_bytes = acc_stride * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t rows = block_bytes() / std::max<std::int64_t>(row_bytes, 1);  // weights may have no outputs
  return std::clamp(rows / kSplitRows * kSplitRows, kSplitRows, kMostBlockRows);
}

/// body(first, last, sums, scratch) for blocks of rows that cover [0, rows), with memory of the thread's own: sums of
/// `stride` numbers a row, and as many bytes as narrow products ask for.
template <class Body>
void for_blocks(const Context& context, std::int64_t count, std::int64_t stride, std::int64_t scratch_bytes,
                const Body& body) {
  const std::int64_t rows = block_rows(stride);
  const Arena::Mark mark = context.arena->mark();
  auto* const sums = context.arena->allocate<float>(rows * stride * context.threads);
  auto* const scratch = context.arena->allocate<std::byte>(scratch_bytes * context.threads);
  parallel_for(context, (count + rows - 1) / rows, [&](std::int64_t b, int thread) {
    const std::int64_t first = b * rows;
    body(first, std::min(count, first + rows), sums + thread * rows * stride, scratch + thread * scratch_bytes);
  });
  context.arena->rewind(mark);
}

// The same as sum_block() for narrow features.
void sum_narrow_block(const ConvBlock& conv, const NarrowWeights& weights, std::int64_t first, std::int64_t last,
                      void* sums, std::byte* scratch) {
  const auto lists = conv.map.layout.as<PairLists>();
  const std::int32_t* begin = lists.splits + first / kSplitRows * conv.map.volume;
  const std::int32_t* end = lists.splits + (last + kSplitRows - 1) / kSplitRows * conv.map.volume;
  for (int k = 0; k < conv.map.volume; ++k) {
    const PairList& list = lists.pairs[k];
    const bool more = k + 1 < conv.map.volume;
    weights.multiply(conv.in, k, list.in + begin[k], list.out + begin[k], end[k] - begin[k], first, sums, scratch,
                     more ? lists.pairs[k + 1].in + begin[k + 1] : nullptr, more ? end[k + 1] - begin[k + 1] : 0);
  }
}

class CpuSparseConvKernels final : public SparseConvKernels {
 public:
  std::shared_ptr<const PackedWeights> pack(const Context& context, const float* weight, std::int64_t volume,
                                            std::int64_t in_channels, std::int64_t out_channels,
                                            DType dtype) const override {
    return pack_weights("conv", context, weight, volume, in_channels, out_channels, dtype);
  }

  std::shared_ptr<const PackedWeights> pack_i8(const Context& context, const QuantizedWeights& weights,
                                               std::int64_t volume, std::int64_t in_channels,
                                               std::int64_t out_channels) const override {
    return std::make_shared<const PackedNarrow>(context, narrow_product(DType::kI8), weights, volume, in_channels,
                                                out_channels);
  }

  std::shared_ptr<const PackedWeights> pack_transposed(const Context& context, const float* weight, std::int64_t volume,
                                                       std::int64_t in_channels, std::int64_t out_channels,
                                                       DType dtype) const override {
    check<BackendUnavailable>(dtype == DType::kF32, "[conv_backward] the CPU has no kernel for ", name(dtype));
    return std::make_shared<const PackedPanels>(context, weight, volume, in_channels, out_channels,
                                                WeightOrder::kOutIn);
  }

  void conv(const Context& context, const ConstRowView& in, const KernelMapView& map, const PackedWeights& weights,
            const Epilogue& epilogue, const RowView& out) const override {
    if (in.dtype == DType::kF32) {
      const auto& panels = packed_as<PackedPanels>("conv", weights, map.volume, in.channels, out.channels);
      const auto sum_block = HWY_DYNAMIC_DISPATCH(sum_block);
      for_blocks(context, out.count, panels.panels() * kPanel, 0,
                 [&](std::int64_t first, std::int64_t last, float* sums, std::byte*) {
                   sum_block({in, map, epilogue, out}, panels, first, last, sums);
                   finish_rows({epilogue, sums, panels.panels() * kPanel, first, last - first, out});
                 });
      return;
    }
    const auto& panels = packed_for("conv", weights, in, map.volume, out.channels);
    const std::int64_t stride = panels.panels() * kPanel;
    const Arena::Mark mark = context.arena->mark();
    const NarrowWeights ready(context, panels, out.count > block_rows(stride));
    for_blocks(context, out.count, stride, ready.scratch_bytes(),
               [&](std::int64_t first, std::int64_t last, float* sums, std::byte* scratch) {
                 start_narrow_sums(panels, epilogue.bias, last - first, sums);
                 sum_narrow_block({in, map, epilogue, out}, ready, first, last, sums, scratch);
                 finish_rows({epilogue, sums, stride, first, last - first, out, panels.multiplier});
               });
    context.arena->rewind(mark);
  }

  void depthwise(const Context& context, const ConstRowView& in, const KernelMapView& map, const float* weight,
                 const Epilogue& epilogue, const RowView& out) const override {
    sparse_depthwise(context, in, map, weight, epilogue, out);
  }

  void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                       const KernelMapView& map, float* out) const override {
    cpu::weight_gradient(context, in, grad, map.layout.as<PairLists>().pairs, map.volume, out);
  }

  void pool(const Context& context, const ConstRowView& in, const KernelMapView& map, Pooling pooling,
            const RowView& out) const override {
    cpu::pool(context, in, map, pooling, out);
  }

  void pool_backward(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                     const KernelMapViews& map, Pooling pooling, const RowView& out) const override {
    cpu::pool_backward(context, in, grad, map, pooling, out);
  }

  void bird_eye_view(const Context& context, const ConstRowView& in, const Level& level, const BirdEyeView& view,
                     const RowView& out) const override {
    cpu::bird_eye_view(context, in, level, view, out);
  }

  void pixels(const Context& context, const Level& level, const BirdEyeView& view,
              std::int32_t* pixels) const override {
    parallel_ranges(context, level.count, kCellGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      std::int32_t coordinate[kMaxAxes];
      for (std::int64_t i = first; i < last; ++i) {
        level.layout.unpack(level.keys[i], coordinate);
        pixels[i] = static_cast<std::int32_t>(view.pixel(coordinate));
      }
    });
  }

  void to_dense(const Context& context, const ConstRowView& in, const std::int32_t* coords, const DenseLayout& layout,
                float* dense) const override {
    std::fill_n(dense, layout.batches * layout.channels * layout.cells(), 0.0f);
    parallel_ranges(context, in.count, kCellGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) {
        const float* from = static_cast<const float*>(in.base) + i * in.row_stride;
        float* to = dense + layout.start(layout.cell(coords + i * (layout.dims + 1)));
        for (std::int64_t c = 0; c < layout.channels; ++c) to[c * layout.cells()] = from[c];
      }
    });
  }

  void occupied(const Context& context, const float* dense, const DenseLayout& layout,
                std::uint8_t* mask) const override {
    const std::int64_t cells = layout.cells();
    parallel_ranges(context, layout.batches * cells, kCellGrain,
                    [&](std::int64_t first, std::int64_t last, std::int64_t) {
                      for (std::int64_t p = first; p < last; ++p) {
                        const float* from = dense + layout.start(p);
                        std::int64_t c = 0;
                        while (c < layout.channels && from[c * cells] == 0.0f) ++c;
                        mask[p] = c < layout.channels;
                      }
                    });
  }

  void from_dense(const Context& context, const float* dense, const DenseLayout& layout, const std::int32_t* cells,
                  std::int32_t* coords, const RowView& out) const override {
    parallel_ranges(context, out.count, kCellGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      for (std::int64_t i = first; i < last; ++i) {
        layout.coordinate(cells[i], coords + i * (layout.dims + 1));
        const float* from = dense + layout.start(cells[i]);
        for (std::int64_t c = 0; c < layout.channels; ++c) row(out, i)[c] = from[c * layout.cells()];
      }
    });
  }

 private:
  static float* row(const RowView& view, std::int64_t i) {
    return static_cast<float*>(view.base) + i * view.row_stride;
  }
};

}  // namespace

const SparseConvKernels& sparse_conv_kernels() {
  choose_target();
  static const CpuSparseConvKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
#endif
