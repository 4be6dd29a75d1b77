// convolution -> depthwise -> pointwise without writing down what lies between them.
//
// The hidden channels are cut into slabs of 32. For a few output rows at a time, and slab by slab, the first
// convolution fills a ring of hidden rows that stays in L1, and the depthwise convolution reads it at once; what comes
// out of all slabs, still in L2, goes through the last convolution. Threads split the output rows, and compute hidden
// rows at their seams twice; where an image has too few rows for that, they split slabs and meet before the last
// convolution.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/video.h>

#include <algorithm>
#include <cstring>
#include <new>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/fused_block.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/depthwise_taps.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

#ifndef VOXSHIFT_KERNELS_CPU_FUSED_BLOCK
#define VOXSHIFT_KERNELS_CPU_FUSED_BLOCK
namespace voxshift::cpu {

constexpr std::int64_t kSlabPanels = 2;
constexpr std::int64_t kSlab = kSlabPanels * kPanel;

/// A call of fused_block, and how it is cut.
struct FusedJob {
  const FusedBlock& block;
  const ImageView& in;
  const ConstRowView& residual;
  const std::uint8_t* hidden_mask;
  Pixels pixels;
  const RowView& out;
  Extent2d hidden = block.hidden(), filtered = block.out();
  std::int64_t slabs = 0;
  std::int64_t group_rows = 0;  ///< output rows between two visits of the last convolution
  std::int64_t ring_rows = 0;   ///< hidden rows that they read

  /// About; where a list of pixels leaves out hidden ones, fewer are computed.
  std::int64_t macs() const {
    const std::int64_t stride = block.depthwise.window.stride, kernel = block.depthwise.window.kernel;
    return pixels.count * (stride * stride * block.first.macs() + kernel * kernel * block.depthwise.out_channels +
                           block.project.macs());
  }

  const PackedConv2d& first = conv2d_weights("fused_block", block.first);
  const PackedDepthwise& filter = depthwise_weights("fused_block", block.depthwise);
  const PackedConv2d& project = conv2d_weights("fused_block", block.project);

  std::int64_t ring_floats() const { return ring_rows * hidden.width * kSlab; }  ///< of one slab
  std::int64_t channels() const { return slabs * kSlab; }                        ///< of a filtered pixel
  std::int64_t group_pixels() const { return group_rows * filtered.width; }      ///< at most
  /// Hidden pixels of a group at most, and one: a list writes a pixel before it knows whether it counts.
  std::int64_t listed_pixels() const { return ring_rows * hidden.width + 1; }
  /// Rings of all slabs, and what comes out of them.
  std::int64_t strip_floats() const { return slabs * ring_floats() + group_pixels() * channels(); }

  /// The sum of a hidden pixel p has pieces: the runs of its channels, or the rows of the kernel, whose channels lie
  /// side by side in a bordered image. Piece i starts here, and for pixel p + 1 of the same row a distance later.
  int pieces() const { return pointwise() ? in.rows.count : static_cast<int>(block.first.window.kernel); }
  const float* start(int i, std::int64_t p) const {
    const ChannelRun& run = in.rows.runs[pointwise() ? static_cast<std::size_t>(i) : 0];
    if (pointwise()) return run.row<float>(p);
    const Window2d& window = block.first.window;
    return run.row<float>(p % hidden.width * window.stride - window.padding) +
           (p / hidden.width * window.stride - window.padding + i) * in.pitch;
  }
  std::int64_t distance(int i) const {
    return pointwise() ? in.rows.runs[static_cast<std::size_t>(i)].row_stride
                       : block.first.window.stride * in.rows.runs[0].row_stride;
  }
  std::int64_t piece_channels(int i) const {
    return pointwise() ? in.rows.runs[static_cast<std::size_t>(i)].channels
                       : block.first.window.kernel * in.rows.runs[0].channels;
  }
  bool pointwise() const { return block.first.window.pointwise(); }

  /// Hidden rows [first, last) that output row y reads.
  std::int64_t first_hidden(std::int64_t y) const {
    return std::max<std::int64_t>(0, y * block.depthwise.window.stride - block.depthwise.window.padding);
  }
  std::int64_t last_hidden(std::int64_t y) const {
    const Window2d& w = block.depthwise.window;
    return std::clamp<std::int64_t>(y * w.stride - w.padding + w.kernel, 0, hidden.height);
  }
  /// The output row at which a strip begins: all have about equally many pixels.
  std::int64_t first_row(std::int64_t strip, std::int64_t strips) const {
    if (pixels.rows == nullptr || strip == strips) return filtered.height * strip / strips;
    return strip == 0 ? 0 : pixels.rows[pixels.count * strip / strips] / filtered.width;
  }
  /// Where the outputs of row y begin among the pixels.
  std::int64_t first_pixel(std::int64_t y) const {
    if (pixels.rows == nullptr) return y * filtered.width;
    return std::lower_bound(pixels.rows, pixels.rows + pixels.count, y * filtered.width) - pixels.rows;
  }
};

/// Output rows [y_first, y_last), whose pixels are [first, last) of the list, and hidden rows [ready, needed) that they
/// need and that are not in the ring yet.
struct RowGroup {
  std::int64_t y_first, y_last, first, last, ready, needed;
  std::int64_t hidden_count = 0;         ///< active hidden pixels of those rows
  const std::int32_t* slots = nullptr;   ///< [hidden_count]: where they lie in the ring; null where all are active
  const float* const* starts = nullptr;  ///< [pieces, hidden_count]: where the pieces of their sums start
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The first convolution of one slab. Panels beyond the last give nothing: their channels have no weights either.
class Expand {
 public:
  Expand(const FusedJob& job, std::int64_t slab)
      : job_(job),
        panel_(slab * kSlabPanels),
        panels_(std::min(kSlabPanels, job.first.panels() - panel_)),
        clamp_(job.block.first.activation) {}

  /// Hidden pixels [p, p + count) of the image, or of one row where the window is larger than a pixel, to `ring`.
  void range(std::int64_t p, std::int64_t count, float* ring) const {
    StridedPiece pieces[kMostStridedPieces];
    for (int i = 0; i < job_.pieces(); ++i) pieces[i] = {job_.start(i, p), job_.distance(i), job_.piece_channels(i)};
    for_panels({ring, kSlab, nullptr, kSlab}, [&](const Panels& panels, const TileOut& out) {
      strided_tiles(count, pieces, job_.pieces(), panels, clamp_, out);
    });
    apply_function(job_.block.first.activation, {ring, kSlab, count, panels_ * kPanel});
  }

  /// The listed hidden pixels of a group, to their slots of the ring.
  void listed(const RowGroup& group, float* ring) const {
    PickedPiece pieces[kMostStridedPieces];
    for (std::int64_t first = 0, height = 0; first < group.hidden_count; first += height) {
      height = next_tile(group.hidden_count - first);
      for (int i = 0; i < job_.pieces(); ++i)
        pieces[i] = {group.starts + i * group.hidden_count + first, job_.piece_channels(i)};
      for_panels({ring, kSlab, group.slots + first, kSlab}, [&](const Panels& panels, const TileOut& out) {
        picked_tile(height, pieces, job_.pieces(), panels, clamp_, out);
      });
    }
    if (job_.block.first.activation.kind != Activation::Kind::kFunction) return;
    for (std::int64_t i = 0; i < group.hidden_count; ++i)
      apply_function(job_.block.first.activation, {ring + group.slots[i] * kSlab, kSlab, 1, panels_ * kPanel});
  }

 private:
  // The slab's panels, as many at a time as a tile takes.
  template <class Body>
  HWY_INLINE void for_panels(TileOut out, const Body& body) const {
    for (std::int64_t p = 0; p < panels_; p += kPixelPanels) {
      body(Panels(job_.first, panel_ + p, panel_ + panels_), out);
      out.out += kPixelPanels * kPanel;
      out.channels -= kPixelPanels * kPanel;
    }
  }

  const FusedJob& job_;
  std::int64_t panel_, panels_;
  Clamp clamp_;
};

/// The depthwise convolution of one slab for a group: pixel i of the group goes to filtered + i * channels.
template <int kKernel, int kStride>
HWY_NOINLINE void filter_group(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring,
                               float* filtered) {
  const Clamp clamp(job.block.depthwise.activation);
  const Window2d& window = job.block.depthwise.window;
  const Floats d;
  const std::int64_t out_stride = job.channels(), width = job.filtered.width;
  const std::int64_t last_channel = std::min(kSlab, job.filter.stride() - slab * kSlab);
  for (std::int64_t c = 0; c < last_channel; c += kLanes) {
    Taps<kKernel> taps(job.filter, slab * kSlab + c, kSlab, job.hidden.width);
    float* to = filtered + slab * kSlab + c;
    std::int64_t i = group.first;
    for (std::int64_t y = group.y_first; y < group.y_last; ++y) {
      for (int k = 0; k < kKernel; ++k) {
        const std::int64_t row = y * kStride - window.padding + k;
        taps.rows[k] =
            row < 0 || row >= job.hidden.height ? nullptr : ring + row % job.ring_rows * job.hidden.width * kSlab + c;
      }
      if (job.pixels.rows == nullptr) {
        taps.template row<kStride>(width, window.padding, [&](std::int64_t x, FloatVector sum) {
          hn::Store(clamp.bound(sum), d, to + x * out_stride);
        });
        to += width * out_stride;
        continue;
      }
      const std::int32_t* const list = job.pixels.rows;
      const std::int64_t row_end = (y + 1) * width;
      while (i < group.last && list[i] < row_end) {
        const std::int64_t left = (list[i] - y * width) * kStride - window.padding;
        const bool together = i + kTogether <= group.last && list[i + kTogether - 1] == list[i] + kTogether - 1 &&
                              list[i + kTogether - 1] < row_end;
        if (together && taps.template inside<kTogether, kStride>(left)) {
          FloatVector acc[kTogether];
          taps.template sums<kTogether, kStride, true>(left, acc);
#pragma GCC unroll 8
          for (int n = 0; n < kTogether; ++n) hn::Store(clamp.bound(acc[n]), d, to + n * out_stride);
          i += kTogether;
          to += kTogether * out_stride;
        } else {
          hn::Store(clamp.bound(taps.template sum<kStride>(left)), d, to);
          ++i;
          to += out_stride;
        }
      }
    }
    if (!clamp.leaky()) continue;  // apart, so that the loops above are straight
    float* const all = filtered + slab * kSlab + c;
    for (float* p = all; p < to; p += out_stride) hn::Store(clamp(hn::Load(d, p)), d, p);
  }
}

void fill_and_filter(const FusedJob& job, const RowGroup& group, std::int64_t slab, float* ring, float* filtered) {
  const Expand expand(job, slab);
  if (group.slots != nullptr) {
    expand.listed(group, ring);
  } else {
    for (std::int64_t y = group.ready; y < group.needed;) {
      const std::int64_t slot = y % job.ring_rows;
      const std::int64_t rows = job.pointwise() ? std::min(group.needed - y, job.ring_rows - slot) : 1;
      expand.range(y * job.hidden.width, rows * job.hidden.width, ring + slot * job.hidden.width * kSlab);
      y += rows;
    }
  }
  const bool five = job.block.depthwise.window.kernel == 5, by_two = job.block.depthwise.window.stride == 2;
  const auto filter =
      five ? (by_two ? filter_group<5, 2> : filter_group<5, 1>) : (by_two ? filter_group<3, 2> : filter_group<3, 1>);
  filter(job, group, slab, ring, filtered);
  apply_function(job.block.depthwise.activation, {filtered + slab * kSlab, job.channels(), group.last - group.first,
                                                  std::min(kSlab, job.filter.stride() - slab * kSlab)});
}

/// The last convolution of pixels [first, first + count) of the list, for panels [panel, panel_last).
void project_pixels(const FusedJob& job, const float* filtered, std::int64_t first, std::int64_t count,
                    std::int64_t panel, std::int64_t panel_last) {
  const PackedConv2d& weights = job.project;
  const Clamp clamp(job.block.project.activation);
  const RowView finished = panel_columns(job.out.rows(first, count), panel, panel_last);
  for (; panel < panel_last; panel += kPixelPanels) {
    const StridedPiece piece{filtered, job.channels(), weights.in_channels};
    const TileOut out = tile_out(job.out.rows(first, count), job.residual, job.pixels, first, panel);
    strided_tiles(count, &piece, 1, Panels(weights, panel, panel_last), clamp, out);
  }
  apply_function(job.block.project.activation, finished);
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(fill_and_filter);
HWY_EXPORT(project_pixels);
namespace {

// Bytes of a slab's ring: dense ones share L1 with weights and inputs; of masked ones only a part is touched.
constexpr std::int64_t kRingBytes = 24 << 10, kMaskedRingBytes = 96 << 10;

/// As many output rows per group as a ring of `bytes` has room for, at most `rows`.
void choose_group(FusedJob& job, std::int64_t bytes, std::int64_t rows) {
  const Window2d& window = job.block.depthwise.window;
  const std::int64_t row_bytes = job.hidden.width * kSlab * static_cast<std::int64_t>(sizeof(float));
  job.group_rows = std::clamp<std::int64_t>((bytes / row_bytes - window.kernel) / window.stride + 1, 1, rows);
  job.ring_rows = (job.group_rows - 1) * window.stride + window.kernel;
}

/// Room for the lists of a group.
struct Lists {
  std::int32_t *rows, *slots;
  const float** starts;

  Lists(const FusedJob& job, Arena& arena)
      : rows(arena.allocate<std::int32_t>(job.listed_pixels())),
        slots(arena.allocate<std::int32_t>(job.listed_pixels())),
        starts(arena.allocate<const float*>(job.pieces() * job.listed_pixels())) {}
};

/// Lists the active hidden pixels that the group adds to the ring.
void list_hidden(const FusedJob& job, RowGroup& group, const Lists& lists) {
  const std::int64_t width = job.hidden.width;
  std::int64_t n = 0;
  for (std::int64_t y = group.ready; y < group.needed; ++y) {
    const std::uint8_t* const mask = job.hidden_mask + y * width;
    for (std::int64_t x = 0; x < width;) {
      std::uint64_t eight = 0;
      if (x + 8 <= width && (std::memcpy(&eight, mask + x, 8), eight == 0)) {
        x += 8;
        continue;
      }
      for (const std::int64_t end = std::min(x + 8, width); x < end; ++x) {
        lists.rows[n] = static_cast<std::int32_t>(y * width + x);
        lists.slots[n] = static_cast<std::int32_t>(y % job.ring_rows * width + x);
        n += mask[x];
      }
    }
  }
  const float** start = lists.starts;
  for (int i = 0; i < job.pieces(); ++i)
    for (std::int64_t p = 0; p < n; ++p) *start++ = job.start(i, lists.rows[p]);
  group.hidden_count = n;
  group.slots = lists.slots;
  group.starts = lists.starts;
}

/// The next group from output row y on, of at most `most` rows.
RowGroup next_group(const FusedJob& job, std::int64_t y, std::int64_t y_last, std::int64_t ready) {
  RowGroup group{};
  group.y_first = y;
  group.y_last = std::min(y + job.group_rows, y_last);
  group.first = job.first_pixel(group.y_first);
  group.last = job.first_pixel(group.y_last);
  group.ready = std::max(ready, job.first_hidden(group.y_first));
  group.needed = job.last_hidden(group.y_last - 1);
  return group;
}

/// Threads split rows.
void run_strips(const Context& context, FusedJob& job, std::int64_t strips) {
  const std::int64_t height = job.filtered.height;
  // Room for lists whether there are any or not: a frame of all pixels is to leave as much memory as any other needs.
  choose_group(job, kMaskedRingBytes, (height + strips - 1) / strips);
  const std::int64_t floats = job.strip_floats();
  auto* const lists = context.arena->allocate<Lists>(strips);
  for (std::int64_t strip = 0; strip < strips; ++strip) new (lists + strip) Lists(job, *context.arena);
  if (job.hidden_mask == nullptr) choose_group(job, kRingBytes, (height + strips - 1) / strips);
  auto* const memory = context.arena->allocate<float>(strips * floats);
  const auto fill_and_filter = HWY_DYNAMIC_DISPATCH(fill_and_filter);
  const auto project_pixels = HWY_DYNAMIC_DISPATCH(project_pixels);
  parallel_for(for_work(context, job.macs()), strips, [&](std::int64_t strip, int) {
    float* const rings = memory + strip * floats;
    float* const filtered = rings + job.slabs * job.ring_floats();
    std::int64_t ready = 0;
    const std::int64_t y_last = job.first_row(strip + 1, strips);
    for (std::int64_t y = job.first_row(strip, strips); y < y_last; y += job.group_rows) {
      RowGroup group = next_group(job, y, y_last, ready);
      if (group.first == group.last) continue;
      if (job.hidden_mask != nullptr) list_hidden(job, group, lists[strip]);
      for (std::int64_t slab = 0; slab < job.slabs; ++slab)
        fill_and_filter(job, group, slab, rings + slab * job.ring_floats(), filtered);
      project_pixels(job, filtered, group.first, group.last - group.first, 0, job.project.panels());
      ready = group.needed;
    }
  });
}

/// Threads split slabs, then pixels and panels of the last convolution.
void run_slabs(const Context& context, FusedJob& job) {
  job.group_rows = job.filtered.height;
  job.ring_rows = job.hidden.height;
  RowGroup group = next_group(job, 0, job.filtered.height, 0);
  auto* const rings = context.arena->allocate<float>(context.threads * job.ring_floats());
  auto* const filtered = context.arena->allocate<float>(job.group_pixels() * job.channels());
  const Lists lists(job, *context.arena);
  if (job.hidden_mask != nullptr) list_hidden(job, group, lists);
  const auto fill_and_filter = HWY_DYNAMIC_DISPATCH(fill_and_filter);
  const auto project_pixels = HWY_DYNAMIC_DISPATCH(project_pixels);
  const Context shared = for_work(context, job.macs());
  parallel_for(shared, job.slabs, [&](std::int64_t slab, int thread) {
    fill_and_filter(job, group, slab, rings + thread * job.ring_floats(), filtered);
  });
  constexpr std::int64_t kPixels = 28;
  const std::int64_t panels = job.project.panels(), pairs = (panels + 1) / 2;
  const std::int64_t pieces = (job.pixels.count + kPixels - 1) / kPixels;
  parallel_for(shared, pieces * pairs, [&](std::int64_t task, int) {
    const std::int64_t first = task % pieces * kPixels, panel = task / pieces * 2;
    project_pixels(job, filtered + first * job.channels(), first, std::min(kPixels, job.pixels.count - first), panel,
                   std::min(panel + 2, panels));
  });
}

}  // namespace

void fused_block(const Context& context, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out) {
  if (pixels.count == 0) return;
  FusedJob job{block, in, residual, hidden, pixels, out};
  job.slabs = (job.first.panels() + kSlabPanels - 1) / kSlabPanels;
  const Arena::Mark mark = context.arena->mark();
  // A strip of fewer rows would compute too many of its hidden rows twice.
  constexpr std::int64_t kLeastRows = 7;
  if (context.threads > 1 && job.filtered.height < kLeastRows * context.threads) {
    run_slabs(context, job);
  } else {
    run_strips(context, job, context.threads);
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
