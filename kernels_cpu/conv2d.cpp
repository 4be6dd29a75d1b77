// Dense 2-D convolution: the product of every output pixel's window, gathered by pointers, with the packed weights.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/narrow_conv2d.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/video.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/conv2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

#ifndef VOXSHIFT_KERNELS_CPU_CONV2D
#define VOXSHIFT_KERNELS_CPU_CONV2D
namespace voxshift::cpu {

constexpr int kMostPieces = kMostKernel2d * kMostKernel2d;

/// A call of conv2d.
struct Conv2dJob {
  const Conv2dLayer& layer;
  Extent2d in_extent, out_extent;
  const ImageView& in;
  ConstRowView residual;
  Pixels pixels;
  const float* zeros;  ///< [in channels]: what lies outside the image
  int pieces;          ///< of the sum of one output
  Activation activation;
  const PackedConv2d& weights = conv2d_weights("conv2d", layer);
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Where the pieces of one output's sum lie: piece p of pixel `pixel` starts at pointers[p * kPixelRows].
void pick_window(const Conv2dJob& job, std::int64_t pixel, const float** pointers) {
  const Window2d& window = job.layer.window;
  const std::int64_t top = pixel / job.out_extent.width * window.stride - window.padding;
  const std::int64_t left = pixel % job.out_extent.width * window.stride - window.padding;
  if (job.in.border > 0) {
    const ChannelRun& run = job.in.rows.runs[0];
    for (std::int64_t i = 0; i < window.kernel; ++i, pointers += kPixelRows)
      *pointers = run.row<float>(left) + (top + i) * job.in.pitch;
    return;
  }
  for (std::int64_t y = top; y < top + window.kernel; ++y)
    for (std::int64_t x = left; x < left + window.kernel; ++x) {
      const bool inside = y >= 0 && y < job.in_extent.height && x >= 0 && x < job.in_extent.width;
      for (int r = 0; r < job.in.rows.count; ++r, pointers += kPixelRows) {
        const ChannelRun& run = job.in.rows.runs[static_cast<std::size_t>(r)];
        *pointers = inside ? run.row<float>(y * job.in_extent.width + x) : job.zeros;
      }
    }
}

/// Outputs of the list from entry `first` on, which are the rows of `rows_out`, for panels [panel, panel_last).
void conv2d_block(const Conv2dJob& job, std::int64_t first, const RowView& rows_out, std::int64_t panel,
                  std::int64_t panel_last) {
  const PackedConv2d& weights = job.weights;
  const std::int64_t count = rows_out.count;
  const Clamp clamp(job.activation);
  const std::int32_t* const list = job.pixels.rows;
  const bool strided = list == nullptr && job.layer.window.pointwise();
  const ChannelRuns& runs = job.in.rows;
  const float* pointers[kMostPieces * kPixelRows];
  PickedPiece picked[kMostPieces];
  for (int p = 0; p < job.pieces; ++p) {
    const std::int64_t channels = runs.runs[static_cast<std::size_t>(p % runs.count)].channels;
    picked[p] = {pointers + p * kPixelRows, job.in.border > 0 ? job.layer.window.kernel * channels : channels};
  }
  StridedPiece whole[kMostStridedPieces];
  if (strided)
    for (int r = 0; r < runs.count; ++r) {
      const ChannelRun& run = runs.runs[static_cast<std::size_t>(r)];
      whole[r] = {run.row<float>(first), run.row_stride, run.channels};
    }
  for (; panel < panel_last; panel += kPixelPanels) {
    TileOut out = tile_out(rows_out, job.residual, job.pixels, first, panel);
    const Panels panels(weights, panel, panel_last);
    if (strided) {
      strided_tiles(count, whole, runs.count, panels, clamp, out);
      continue;
    }
    for (std::int64_t tile = 0, rows = 0; tile < count; tile += rows, out.advance(rows)) {
      rows = next_tile(count - tile);
      const std::int64_t i = first + tile;
      for (std::int64_t r = 0; r < rows; ++r) pick_window(job, list != nullptr ? list[i + r] : i + r, pointers + r);
      picked_tile(rows, picked, job.pieces, panels, clamp, out);
    }
  }
}

void wide_tiles(const PackedConv2d& weights, const StagedRows& rows, PanelRange panels, const Activation& activation,
                const WideRows& to) {
  const Clamp clamp(activation);
  const StridedPiece piece{reinterpret_cast<const float*>(rows.data), rows.stride / std::int64_t{sizeof(float)},
                           weights.depth()};
  for (std::int64_t p = panels.first; p < panels.last; p += kPixelPanels) {
    const std::int64_t column = (p - panels.first) * kPanel;
    strided_tiles(rows.count, &piece, 1, Panels(weights, p, panels.last), clamp,
                  {to.base + column, to.stride, to.picked, to.channels - column});
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(conv2d_block);
HWY_EXPORT(wide_tiles);
namespace {

// Pixels of one task: their inputs stay in L2 while the panels go by.
constexpr std::int64_t kBlockPixels = 196;

}  // namespace

void multiply_wide(const PackedConv2d& weights, const StagedRows& rows, PanelRange panels, const Activation& activation,
                   const WideRows& to) {
  HWY_DYNAMIC_DISPATCH(wide_tiles)(weights, rows, panels, activation, to);
}

void conv2d(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
            const ConstRowView& residual, Pixels pixels, const RowView& out) {
  if (pixels.count == 0) return;
  check_features("conv2d", conv2d_weights("conv2d", layer).dtype, DType::kF32);
  const Arena::Mark mark = context.arena->mark();
  auto* const zeros = context.arena->allocate<float>(layer.in_channels);
  std::fill_n(zeros, layer.in_channels, 0.0f);
  const std::int64_t kernel = layer.window.kernel;
  const auto pieces = static_cast<int>(in.border > 0 ? kernel : kernel * kernel * in.rows.count);
  // Narrow outputs are made of sums that wait in the cache, as is what is added to narrow residuals.
  const bool narrow = out.dtype != DType::kF32 || (residual.base != nullptr && residual.dtype != DType::kF32);
  const Conv2dJob job{layer,
                      in_extent,
                      layer.window.out(in_extent),
                      in,
                      narrow ? ConstRowView{} : residual,
                      pixels,
                      zeros,
                      pieces,
                      narrow ? Activation{} : layer.activation};
  const std::int64_t blocks = (pixels.count + kBlockPixels - 1) / kBlockPixels, panels = job.weights.panels();
  const std::int64_t stride = panels * kPanel;
  auto* const sums = narrow ? context.arena->allocate<float>(context.threads * kBlockPixels * stride) : nullptr;
  // Where there are blocks enough for the threads, a block's inputs are read once for all panels; else the pairs of
  // panels are tasks of their own, and every weight is read by one thread only.
  constexpr std::int64_t kLeastBlocks = 4;
  const std::int64_t width = blocks >= kLeastBlocks * context.threads ? panels : 2;
  const auto conv2d_block = HWY_DYNAMIC_DISPATCH(conv2d_block);
  parallel_for(for_work(context, pixels.count * layer.macs()), blocks * ((panels + width - 1) / width),
               [&](std::int64_t task, int thread) {
                 const std::int64_t first = task % blocks * kBlockPixels, panel = task / blocks * width;
                 const std::int64_t count = std::min(kBlockPixels, pixels.count - first);
                 const std::int64_t panel_last = std::min(panel + width, panels);
                 const RowView rows = out.rows(first, count);
                 if (!narrow) {
                   conv2d_block(job, first, rows, panel, panel_last);
                   return apply_function(layer.activation, panel_columns(rows, panel, panel_last));
                 }
                 const RowView block{sums + thread * kBlockPixels * stride, stride, count, out.channels};
                 conv2d_block(job, first, block, panel, panel_last);
                 FinishSums end{static_cast<float*>(block.base) + panel * kPanel,
                                stride,
                                count,
                                false,
                                nullptr,
                                nullptr,
                                false,
                                layer.activation};
                 end.out = panel_columns(rows, panel, panel_last);
                 add_residual(end, residual, pixels, first, panel * kPanel);
                 finish_sums(end);
               });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
