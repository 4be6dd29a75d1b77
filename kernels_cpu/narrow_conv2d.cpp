// Dense 2-D convolution of narrow numbers: the windows of a few dozen pixels are staged whole and multiplied by panel
// after panel, whose sums stay in L1 until they are numbers.
#include <voxshift/kernels_cpu/narrow_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>
#include <voxshift/kernels_cpu/window_stage.h>

#include <cstring>

namespace voxshift::cpu {
namespace {

constexpr std::int64_t kSumBytes = kSumRows * kSumPanels * kPanel * 4;

/// Rows of one part, at most `most`, where `count` are cut into as few about equal parts as possible; a multiple of 8.
std::int64_t rows_together(std::int64_t count, std::int64_t most) {
  const std::int64_t parts = (count + most - 1) / most;
  return std::max<std::int64_t>((count + parts - 1) / parts + 7, 8) / 8 * 8;
}

/// Calls body(rows, panels, first row) for as many rows and panels at a time as have room for their sums.
template <class Body>
void for_sums(const StagedRows& staged, PanelRange panels, const Body& body) {
  if (staged.count == 0) return;
  for (std::int64_t p = panels.first; p < panels.last; p += kSumPanels) {
    const PanelRange range{p, std::min(p + kSumPanels, panels.last)};
    const std::int64_t most = rows_together(staged.count, kSumRows * kSumPanels / (range.last - range.first));
    for (std::int64_t row = 0; row < staged.count; row += most)
      body(StagedRows{staged.data + row * staged.stride, staged.stride, std::min(most, staged.count - row)}, range,
           row);
  }
}

/// What `end` says of some of its rows and of some of its columns.
FinishSums part_of(const FinishSums& end, std::int64_t row, std::int64_t rows, std::int64_t column,
                   std::int64_t columns) {
  FinishSums part = end;
  part.rows = rows;
  const std::int64_t width = std::min(columns, end.out.channels - column);
  part.out = end.out.columns(column, width);
  if (end.out_rows != nullptr) {
    part.out_rows = end.out_rows + row;
  } else {
    part.out = part.out.rows(row, rows);
  }
  if (end.inverse != nullptr) part.inverse = end.inverse + column;
  if (end.residual.base == nullptr) return part;
  part.residual = end.residual.columns(column, width);
  if (end.residual_rows != nullptr) {
    part.residual_rows = end.residual_rows + row;
  } else {
    part.residual = part.residual.rows(row, rows);
  }
  return part;
}

}  // namespace

std::int64_t sum_bytes(const PackedNarrowConv2d& weights) {
  return kSumBytes + (weights.product().scratch_bytes(weights.matrix.in_channels) + 63) / 64 * 64;
}

std::int64_t sum_bytes(const PackedConv2d&) { return kSumBytes; }

void finish_product(const PackedNarrowConv2d& weights, const StagedRows& staged, PanelRange panels, std::byte* memory,
                    const FinishSums& end) {
  const NarrowProduct& product = weights.product();
  const std::int64_t groups = product.groups(weights.matrix.in_channels);
  for_sums(staged, panels, [&](const StagedRows& rows, PanelRange range, std::int64_t row) {
    const std::int64_t width = range.last - range.first, stride = width * kPanel;
    if (!product.fresh) std::memset(memory, 0, static_cast<std::size_t>(rows.count * stride * 4));
    NarrowTile tile{
        rows.data, rows.stride, rows.count, groups, weights.panel(range.first), weights.matrix.panel_bytes(),
        width,     memory,      stride};
    tile.scratch = memory + kSumBytes;
    tile.fresh = true;
    product.multiply(tile);
    FinishSums part = part_of(end, row, rows.count, (range.first - panels.first) * kPanel, stride);
    part.sums = memory;
    part.stride = stride;
    part.whole = product.dtype == DType::kI8;
    part.multiplier = part.whole ? weights.matrix.multiplier + range.first * kPanel : nullptr;
    part.bias = weights.bias.data() + range.first * kPanel;
    part.finite = weights.finite;
    finish_sums(part);
  });
}

void finish_product(const PackedConv2d& weights, const StagedRows& staged, PanelRange panels, std::byte* memory,
                    const FinishSums& end) {
  for_sums(staged, panels, [&](const StagedRows& rows, PanelRange range, std::int64_t row) {
    const std::int64_t stride = (range.last - range.first) * kPanel;
    auto* const sums = reinterpret_cast<float*>(memory);
    multiply_wide(weights, rows, range, {}, {sums, stride, stride});
    FinishSums part = part_of(end, row, rows.count, (range.first - panels.first) * kPanel, stride);
    part.sums = sums;
    part.stride = stride;
    finish_sums(part);
  });
}

namespace {

/// conv2d_narrow() with weights of either kind, whose rows `product` stages.
template <class Packed>
void convolve(const Context& context, const Conv2dLayer& layer, const Packed& weights, const NarrowProduct& product,
              Extent2d in_extent, const ImageView& in, const ConstRowView& residual, Pixels pixels,
              const RowView& out) {
  // Staged rows of a task stay in L2.
  constexpr std::int64_t kStagedBytes = 128 << 10, kMostPixels = 192, kLeastBlocks = 4;
  const Arena::Mark mark = context.arena->mark();
  auto* const zeros = context.arena->allocate<std::byte>(layer.in_channels * 2);
  std::memset(zeros, 0, static_cast<std::size_t>(layer.in_channels * 2));
  const WindowStage stage(product, layer.window, in_extent, layer.window.out(in_extent), in, zeros);
  const std::int64_t block = std::clamp(kStagedBytes / stage.stride() / kSumRows * kSumRows, kSumRows, kMostPixels);
  const std::int64_t staged_bytes = block * stage.stride() + 64, sums = sum_bytes(weights);
  const std::int64_t thread_bytes = staged_bytes + sums + block * 4;
  auto* const memory = context.arena->allocate<std::byte>(context.threads * thread_bytes);
  const std::int64_t blocks = (pixels.count + block - 1) / block, panels = weights.panels();
  // Where there are blocks enough for the threads, a block is staged once for all panels.
  const std::int64_t shares = blocks >= kLeastBlocks * context.threads ? 1 : 2 * context.threads;
  const std::int64_t width = context.threads == 1 ? panels : std::max((panels + shares - 1) / shares, kSumPanels);
  parallel_for(for_work(context, pixels.count * layer.macs() / 4), blocks * ((panels + width - 1) / width),
               [&](std::int64_t task, int thread) {
                 std::byte* const staged = memory + thread * thread_bytes;
                 const std::int64_t first = task % blocks * block, panel = task / blocks * width;
                 const std::int64_t count = std::min(block, pixels.count - first);
                 const PanelRange range{panel, std::min(panel + width, panels)};
                 stage.stage(pixels.rows, first, count, reinterpret_cast<std::int32_t*>(staged + staged_bytes + sums),
                             staged);
                 FinishSums end{nullptr, 0, count, false, nullptr, nullptr, false, layer.activation};
                 end.out = panel_columns(out.rows(first, count), range.first, range.last);
                 add_residual(end, residual, pixels, first, panel * kPanel);
                 finish_product(weights, {staged, stage.stride(), count}, range, staged + staged_bytes, end);
               });
  context.arena->rewind(mark);
}

}  // namespace

void conv2d_narrow(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
                   const ConstRowView& residual, Pixels pixels, const RowView& out) {
  if (pixels.count == 0) return;
  check_features("conv2d", features_of("conv2d", layer), in.rows.dtype);
  const NarrowProduct& product = narrow_product(in.rows.dtype);
  if (computed_in_f32(in.rows.dtype))
    return convolve(context, layer, conv2d_weights("conv2d", layer), product, in_extent, in, residual, pixels, out);
  convolve(context, layer, narrow_weights("conv2d", layer), product, in_extent, in, residual, pixels, out);
}

}  // namespace voxshift::cpu
