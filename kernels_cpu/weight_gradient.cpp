// A^T G over pairs of rows picked by index. Pairs go in blocks whose rows are gathered side by side and stay in the
// cache while all tiles pass over them. A tile keeps R input channels x P panels of output channels in registers while
// it walks the pairs of a block: per pair it loads P * 16 gradients and broadcasts R inputs, like the tile of matmul.h.
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/weight_gradient.h>

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/weight_gradient.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>

#ifndef VOXSHIFT_KERNELS_CPU_WEIGHT_GRADIENT
#define VOXSHIFT_KERNELS_CPU_WEIGHT_GRADIENT
namespace voxshift::cpu {

/// Pairs [first, last) of a list, and the sums they make: [in.channels, panels * 16], aligned.
struct GradientChunk {
  const PairList* list;
  std::int64_t first, last;
  float* acc;
};

/// Pairs whose rows are gathered at a time: what a tile reads of them fits in the L1 cache, all of them in L2.
constexpr std::int64_t kBlockPairs = 128;

/// Distance of gathered input rows: an odd number of cache lines, so that a column does not fall into few cache sets.
constexpr std::int64_t input_stride(std::int64_t in_channels) { return (panels_of(in_channels) | 1) * kPanel; }

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Rows of one block of pairs, side by side, and the sums they are added to.
struct OuterProduct {
  const float* a;  ///< [pairs, a_stride]
  std::int64_t a_stride;
  const float* g;  ///< [panels, kBlockPairs, 16], aligned
  std::int64_t pairs;
  std::int64_t in_channels, panels;
  float* acc;  ///< [in_channels, panels * 16], aligned
};

// acc[channel + r, panel ..] += sum over the pairs of a[p, channel + r] * g[p, panel ..]
template <int kRows, int kPanels>
HWY_INLINE void outer_tile(const OuterProduct& product, std::int64_t channel, std::int64_t panel) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const Floats d;
  const std::int64_t stride = product.panels * kPanel;
  float* const c = product.acc + channel * stride + panel * kPanel;
  FloatVector acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Load(d, c + r * stride + v * kLanes);
  const float* a = product.a + channel;
  const float* g = product.g + panel * kBlockPairs * kPanel;
  for (std::int64_t p = 0; p < product.pairs; ++p, a += product.a_stride, g += kPanel) {
    FloatVector w[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      w[v] = hn::Load(d, g + v / kPanelVectors * kBlockPairs * kPanel + v % kPanelVectors * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVector x = hn::Set(d, a[r]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(x, w[v], acc[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::Store(acc[r][v], d, c + r * stride + v * kLanes);
}

// The last `rows` input channels, fewer than a full tile has.
template <int kPanels, int kRows = tile_rows(kPanels) - 1>
HWY_INLINE void outer_tail(const OuterProduct& product, std::int64_t channel, std::int64_t panel, std::int64_t rows) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return outer_tile<kRows, kPanels>(product, channel, panel);
    outer_tail<kPanels, kRows - 1>(product, channel, panel, rows);
  }
}

template <int kPanels>
HWY_NOINLINE void outer_panels(const OuterProduct& product, std::int64_t panel) {
  constexpr int kRows = tile_rows(kPanels);
  std::int64_t channel = 0;
  for (; channel + kRows <= product.in_channels; channel += kRows) outer_tile<kRows, kPanels>(product, channel, panel);
  outer_tail<kPanels>(product, channel, panel, product.in_channels - channel);
}

// Panel c of row i to to[i * row_stride + c * panel_stride ..] for the rows[first ..], or first .. where `rows` is
// null. Columns beyond the last channel are left alone.
HWY_INLINE void gather_rows(const ConstRowView& from, const std::int32_t* rows, std::int64_t first, std::int64_t count,
                            float* to, std::int64_t row_stride, std::int64_t panel_stride) {
  const Floats d;
  constexpr std::int64_t kAhead = 12;  // rows picked by index are no pattern that hardware foresees
  const auto* base = static_cast<const float*>(from.base);
  std::int64_t c = 0;
  for (std::int64_t i = 0; i < count; ++i, to += row_stride) {
    const float* row = base + (rows ? rows[first + i] : first + i) * from.row_stride;
    if (rows && i + kAhead < count) {
      const float* next = base + rows[first + i + kAhead] * from.row_stride;
      for (c = 0; c < from.channels; c += kPanel) hwy::Prefetch(next + c);
    }
    const auto place = [&](std::int64_t channel) { return to + channel / kPanel * panel_stride + channel % kPanel; };
    for (c = 0; c + kLanes <= from.channels; c += kLanes) hn::Store(hn::LoadU(d, row + c), d, place(c));
    for (; c < from.channels; ++c) *place(c) = row[c];
  }
}

// `scratch` holds the rows of one block.
void gradient_chunk(const ConstRowView& in, const ConstRowView& grad, const GradientChunk& chunk, float* scratch) {
  const std::int64_t panels = panels_of(grad.channels), stride = panels * kPanel;
  const std::int64_t a_stride = input_stride(in.channels);
  float* const g = scratch;
  float* const a = scratch + kBlockPairs * stride;
  std::fill_n(chunk.acc, in.channels * stride, 0.0f);
  std::fill_n(g, kBlockPairs * stride, 0.0f);  // the columns beyond the last channel stay 0
  for (std::int64_t first = chunk.first; first < chunk.last; first += kBlockPairs) {
    const std::int64_t count = std::min(kBlockPairs, chunk.last - first);
    gather_rows(in, chunk.list->in, first, count, a, a_stride, kPanel);
    gather_rows(grad, chunk.list->out, first, count, g, kPanel, kBlockPairs * kPanel);
    const OuterProduct product{a, a_stride, g, count, in.channels, panels, chunk.acc};
    for_panels(panels, [&]<int kPanels>(std::int64_t panel) { outer_panels<kPanels>(product, panel); });
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(gradient_chunk);
namespace {

constexpr std::int64_t kChunkPairs = 8192;  // of one task

}  // namespace

void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad, const PairList* lists,
                     int volume, float* out) {
  const std::int64_t outputs = grad.channels, stride = panels_of(outputs) * kPanel, sums = in.channels * stride;
  const std::int64_t block = kBlockPairs * (input_stride(in.channels) + stride);
  std::vector<GradientChunk> chunks;
  std::vector<std::size_t> first_chunk;
  for (int k = 0; k < volume; ++k) {
    first_chunk.push_back(chunks.size());
    for (std::int64_t first = 0; first < lists[k].count; first += kChunkPairs)
      chunks.push_back({&lists[k], first, std::min(lists[k].count, first + kChunkPairs), nullptr});
  }
  first_chunk.push_back(chunks.size());

  const Arena::Mark mark = context.arena->mark();
  auto* acc = context.arena->allocate<float>(static_cast<std::int64_t>(chunks.size()) * sums);
  auto* scratch = context.arena->allocate<float>(block * context.threads);
  for (std::size_t c = 0; c < chunks.size(); ++c) chunks[c].acc = acc + static_cast<std::int64_t>(c) * sums;
  const auto gradient_chunk = HWY_DYNAMIC_DISPATCH(gradient_chunk);
  parallel_for(context.threads, static_cast<std::int64_t>(chunks.size()), [&](std::int64_t c, int thread) {
    gradient_chunk(in, grad, chunks[static_cast<std::size_t>(c)], scratch + thread * block);
  });
  parallel_for(context.threads, volume, [&](std::int64_t k, int) {
    float* const to = out + k * in.channels * outputs;
    std::fill_n(to, in.channels * outputs, 0.0f);
    for (std::size_t c = first_chunk[static_cast<std::size_t>(k)]; c < first_chunk[static_cast<std::size_t>(k) + 1];
         ++c)
      for (std::int64_t i = 0; i < in.channels; ++i)
        for (std::int64_t o = 0; o < outputs; ++o) to[i * outputs + o] += chunks[c].acc[i * stride + o];
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
