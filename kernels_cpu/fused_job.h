// A call of fused_block: how it is cut, and the parts of it that are compiled once per instruction set.
#pragma once

#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

constexpr std::int64_t kSlabPanels = 2;
constexpr std::int64_t kSlab = kSlabPanels * kPanel;

struct FusedJob {
  const FusedBlock& block;
  const ImageView& in;
  const ConstRowView& residual;
  const std::uint8_t* hidden_mask;
  Pixels pixels;
  const RowView& out;
  Extent2d hidden = block.hidden(), filtered = block.out();
  std::int64_t slabs = (panels_of(block.first.out_channels) + kSlabPanels - 1) / kSlabPanels;
  std::int64_t group_rows = 0;  ///< output rows between two visits of the last convolution
  std::int64_t ring_rows = 0;   ///< hidden rows that they read

  /// The weights of the first and of the last convolution: the one of a pair that is not null.
  const PackedConv2d* first = nullptr;
  const PackedNarrowConv2d* narrow_first = nullptr;
  const PackedConv2d* project = nullptr;
  const PackedNarrowConv2d* narrow_project = nullptr;
  const PackedDepthwise& filter = depthwise_weights("fused_block", block.depthwise);

  /// Of a filtered pixel's numbers.
  DType filtered_dtype() const { return narrow_project != nullptr ? narrow_project->product().dtype : DType::kF32; }
  /// Whether what the depthwise convolution sums is what the last one reads, but for the activation.
  bool plain_filter() const { return !filter.whole() && filtered_dtype() == DType::kF32; }

  /// About; where a list of pixels leaves out hidden ones, fewer are computed.
  std::int64_t macs() const {
    const std::int64_t stride = block.depthwise.window.stride, kernel = block.depthwise.window.kernel;
    return pixels.count * (stride * stride * block.first.macs() + kernel * kernel * block.depthwise.out_channels +
                           block.project.macs());
  }

  std::int64_t ring_floats() const { return ring_rows * hidden.width * kSlab; }  ///< of one slab
  std::int64_t channels() const { return slabs * kSlab; }                        ///< of a filtered pixel
  std::int64_t group_pixels() const { return group_rows * filtered.width; }      ///< at most
  /// Hidden pixels of a group at most, and one: a list writes a pixel before it knows whether it counts.
  std::int64_t listed_pixels() const { return ring_rows * hidden.width + 1; }

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
  const std::int32_t* rows = nullptr;    ///< [hidden_count]: which; null where all are active
  const std::int32_t* slots = nullptr;   ///< [hidden_count]: where they lie in the ring
  const float* const* starts = nullptr;  ///< [pieces, hidden_count]: where the pieces of their sums start, of f32
};

/// Consecutive hidden pixels [pixel, pixel + count) of a group, all active, which lie side by side in the ring from
/// `slot` on.
struct RingRange {
  std::int64_t pixel, count, slot;
};

/// Calls body(range) for the hidden pixels that a group without a list adds to the ring. Where the window is larger
/// than a pixel, a range lies in one row.
template <class Body>
void for_ring_ranges(const FusedJob& job, const RowGroup& group, const Body& body) {
  for (std::int64_t y = group.ready; y < group.needed;) {
    const std::int64_t slot = y % job.ring_rows, width = job.hidden.width;
    const std::int64_t rows = job.pointwise() ? std::min(group.needed - y, job.ring_rows - slot) : 1;
    body(RingRange{y * width, rows * width, slot * width});
    y += rows;
  }
}

// fused_tiles.cpp

/// The first convolution of one slab, of f32, to the ring. Panels beyond the last give nothing: their channels have no
/// weights either.
void fill_slab(const FusedJob& job, const RowGroup& group, std::int64_t slab, float* ring);

/// The same to rows of kSlab numbers: of hidden pixels [pixel, pixel + count), in one row where the window is larger
/// than a pixel, and of entries [first, first + count) of a group's list.
void expand_range(const FusedJob& job, std::int64_t slab, std::int64_t pixel, std::int64_t count, float* to);
void expand_listed(const FusedJob& job, const RowGroup& group, std::int64_t slab, std::int64_t first,
                   std::int64_t count, float* to);

/// The depthwise convolution of one slab for a group: channels [0, kSlab) of pixel i of the group go to to + i *
/// stride, with `raw` as sums, else through the activation.
void filter_slab(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring, bool raw, float* to,
                 std::int64_t stride);

/// The same to numbers of i8 or bf16, channels() from pixel to pixel. False, and nothing
/// done, where the sums need more than a few instructions each.
bool filter_narrow(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring, std::byte* to);

/// The last convolution of f32: of the pixels whose filtered numbers these are, entries from `first` on, to `columns`,
/// which are those of panels [panel, panel_last). The residual has all columns, and a row for every pixel.
void project_pixels(const FusedJob& job, const float* filtered, std::int64_t first, const RowView& columns,
                    const ConstRowView& residual, const Activation& activation, std::int64_t panel,
                    std::int64_t panel_last);

}  // namespace voxshift::cpu
