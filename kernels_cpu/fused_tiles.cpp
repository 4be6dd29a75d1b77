// The parts of fused_block that are compiled once per instruction set: products of f32, and the depthwise convolution.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/fused_job.h>

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/fused_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/bound_quantizer.h>
#include <voxshift/kernels_cpu/depthwise_taps.h>
#include <voxshift/kernels_cpu/numbers.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The first convolution of one slab. Panels beyond the last give nothing: their channels have no weights either.
class Expand {
 public:
  Expand(const FusedJob& job, std::int64_t slab)
      : job_(job),
        panel_(slab * kSlabPanels),
        panels_(std::min(kSlabPanels, job.first->panels() - panel_)),
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

  /// Entries [first, first + count) of the listed hidden pixels of a group, to rows `slots` of `to`, or to the first
  /// ones.
  void listed(const RowGroup& group, std::int64_t first, std::int64_t count, const std::int32_t* slots,
              float* to) const {
    PickedPiece pieces[kMostStridedPieces];
    for (std::int64_t row = 0, height = 0; row < count; row += height) {
      height = next_tile(count - row);
      for (int i = 0; i < job_.pieces(); ++i)
        pieces[i] = {group.starts + i * group.hidden_count + first + row, job_.piece_channels(i)};
      TileOut out{to, kSlab, nullptr, kSlab};
      if (slots != nullptr) out.picked = slots;
      out.advance(row);
      for_panels(out, [&](const Panels& panels, const TileOut& tile) {
        picked_tile(height, pieces, job_.pieces(), panels, clamp_, tile);
      });
    }
    if (job_.block.first.activation.kind != Activation::Kind::kFunction) return;
    for (std::int64_t i = 0; i < count; ++i)
      apply_function(job_.block.first.activation,
                     {to + (slots != nullptr ? slots[i] : i) * kSlab, kSlab, 1, panels_ * kPanel});
  }

 private:
  // The slab's panels, as many at a time as a tile takes.
  template <class Body>
  HWY_INLINE void for_panels(TileOut out, const Body& body) const {
    for (std::int64_t p = 0; p < panels_; p += kPixelPanels) {
      body(Panels(*job_.first, panel_ + p, panel_ + panels_), out);
      out.out += kPixelPanels * kPanel;
      out.channels -= kPixelPanels * kPanel;
    }
  }

  const FusedJob& job_;
  std::int64_t panel_, panels_;
  Clamp clamp_;
};

/// What becomes of depthwise sums of channels [channel, channel + kLanes): `end.store(sum, to)`.
struct FloatEnd {
  using Number = float;
  FloatEnd(const FusedJob&, const Activation& activation, std::int64_t) : clamp(activation) {}
  HWY_INLINE void store(FloatVector sum, float* to) const { hn::Store(clamp.bound(sum), Floats(), to); }
  Clamp clamp;
};
struct BfloatEnd {
  using Number = std::uint16_t;
  BfloatEnd(const FusedJob&, const Activation& activation, std::int64_t) : clamp(activation) {}
  HWY_INLINE void store(FloatVector sum, std::uint16_t* to) const { to_bfloats(clamp.bound(sum), to); }
  Clamp clamp;
};
/// Of i8, where all is finite.
struct ByteEnd {
  using Number = std::int8_t;
  ByteEnd(const FusedJob& job, const Activation& activation, std::int64_t channel)
      : multiplier(hn::Load(Floats(), job.filter.multiplier() + channel)),
        bias(hn::Load(Floats(), job.filter.bias() + channel)),
        quantizer(Clamp(activation),
                  load_scales(job.block.filtered_scales.inverse + channel,
                              std::clamp<std::int64_t>(job.block.first.out_channels - channel, 0, kLanes))) {}
  HWY_INLINE void store(FloatVector sum, std::int8_t* to) const {
    store_bytes(quantizer(hn::Add(hn::Mul(sum, multiplier), bias)), to);
  }
  FloatVector multiplier, bias;
  BoundQuantizer quantizer;
};

template <int kKernel, int kStride, class End>
HWY_NOINLINE void filter_group(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring,
                               const Activation& activation, void* filtered, std::int64_t out_stride) {
  const Window2d& window = job.block.depthwise.window;
  const std::int64_t width = job.filtered.width;
  const std::int64_t last_channel = std::min(kSlab, job.filter.stride() - slab * kSlab);
  for (std::int64_t c = 0; c < last_channel; c += kLanes) {
    Taps<kKernel> taps(job.filter, slab * kSlab + c, kSlab, job.hidden.width);
    const End end(job, activation, slab * kSlab + c);  // of this function's own: stores leave its registers as they are
    auto* to = static_cast<typename End::Number*>(filtered) + c;
    std::int64_t i = group.first;
    for (std::int64_t y = group.y_first; y < group.y_last; ++y) {
      for (int k = 0; k < kKernel; ++k) {
        const std::int64_t row = y * kStride - window.padding + k;
        taps.rows[k] =
            row < 0 || row >= job.hidden.height ? nullptr : ring + row % job.ring_rows * job.hidden.width * kSlab + c;
      }
      if (job.pixels.rows == nullptr) {
        taps.template row<kStride>(width, window.padding,
                                   [&](std::int64_t x, FloatVector sum) { end.store(sum, to + x * out_stride); });
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
          for (int n = 0; n < kTogether; ++n) end.store(acc[n], to + n * out_stride);
          i += kTogether;
          to += kTogether * out_stride;
        } else {
          end.store(taps.template sum<kStride>(left), to);
          ++i;
          to += out_stride;
        }
      }
    }
    if constexpr (std::is_same_v<End, FloatEnd>) {
      if (!end.clamp.leaky()) continue;  // apart, so that the loops above are straight
      for (float* p = static_cast<float*>(filtered) + c; p < to; p += out_stride)
        hn::Store(end.clamp(hn::Load(Floats(), p)), Floats(), p);
    }
  }
}

void fill_ring(const FusedJob& job, const RowGroup& group, std::int64_t slab, float* ring) {
  const Expand expand(job, slab);
  if (group.slots != nullptr) return expand.listed(group, 0, group.hidden_count, group.slots, ring);
  for_ring_ranges(job, group,
                  [&](const RingRange& range) { expand.range(range.pixel, range.count, ring + range.slot * kSlab); });
}

void range_of(const FusedJob& job, std::int64_t slab, std::int64_t pixel, std::int64_t count, float* to) {
  Expand(job, slab).range(pixel, count, to);
}

void listed_of(const FusedJob& job, const RowGroup& group, std::int64_t slab, std::int64_t first, std::int64_t count,
               float* to) {
  Expand(job, slab).listed(group, first, count, nullptr, to);
}

void filter_any(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring,
                const Activation& activation, float* to, std::int64_t stride) {
  const bool five = job.block.depthwise.window.kernel == 5, by_two = job.block.depthwise.window.stride == 2;
  const auto filter = five ? (by_two ? filter_group<5, 2, FloatEnd> : filter_group<5, 1, FloatEnd>)
                           : (by_two ? filter_group<3, 2, FloatEnd> : filter_group<3, 1, FloatEnd>);
  filter(job, group, slab, ring, activation, to, stride);
}

/// Whether the numbers of `slab` are ByteEnd's.
bool bytes_end(const FusedJob& job, std::int64_t slab) {
  if (!job.filter.whole() || !job.filter.finite) return false;
  for (std::int64_t c = slab * kSlab; c < std::min((slab + 1) * kSlab, job.block.first.out_channels); c += kLanes)
    if (!usual(load_scales(job.block.filtered_scales.inverse + c,
                           std::min<std::int64_t>(kLanes, job.block.first.out_channels - c))))
      return false;
  return true;
}

bool filter_bytes(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring, void* to) {
  const Activation& activation = job.block.depthwise.activation;
  const bool bytes = job.filtered_dtype() == DType::kI8;
  if (job.block.depthwise.window.kernel != 3 || Clamp(activation).leaky()) return false;
  if (bytes ? !bytes_end(job, slab) : job.filtered_dtype() != DType::kBF16 || job.filter.whole()) return false;
  const bool by_two = job.block.depthwise.window.stride == 2;
  const auto filter = bytes ? (by_two ? filter_group<3, 2, ByteEnd> : filter_group<3, 1, ByteEnd>)
                            : (by_two ? filter_group<3, 2, BfloatEnd> : filter_group<3, 1, BfloatEnd>);
  filter(job, group, slab, ring, activation, to, job.channels());
  return true;
}

void project_tiles(const FusedJob& job, const float* filtered, std::int64_t first, const RowView& columns,
                   const ConstRowView& residual, const Activation& activation, std::int64_t panel,
                   std::int64_t panel_last) {
  const PackedConv2d& weights = *job.project;
  const Clamp clamp(activation);
  const ConstRowView added = residual.base != nullptr ? residual.columns(panel * kPanel, columns.channels) : residual;
  for (const std::int64_t panel_first = panel; panel < panel_last; panel += kPixelPanels) {
    const StridedPiece piece{filtered, job.channels(), weights.in_channels};
    const TileOut to = tile_out(columns, added, job.pixels, first, panel - panel_first);
    strided_tiles(columns.count, &piece, 1, Panels(weights, panel, panel_last), clamp, to);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(fill_ring);
HWY_EXPORT(range_of);
HWY_EXPORT(listed_of);
HWY_EXPORT(filter_any);
HWY_EXPORT(filter_bytes);
HWY_EXPORT(project_tiles);

void fill_slab(const FusedJob& job, const RowGroup& group, std::int64_t slab, float* ring) {
  HWY_DYNAMIC_DISPATCH(fill_ring)(job, group, slab, ring);
}

void expand_range(const FusedJob& job, std::int64_t slab, std::int64_t pixel, std::int64_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(range_of)(job, slab, pixel, count, to);
}

void expand_listed(const FusedJob& job, const RowGroup& group, std::int64_t slab, std::int64_t first,
                   std::int64_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(listed_of)(job, group, slab, first, count, to);
}

void filter_slab(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring, bool raw, float* to,
                 std::int64_t stride) {
  const Activation activation = raw ? Activation{} : job.block.depthwise.activation;
  HWY_DYNAMIC_DISPATCH(filter_any)(job, group, slab, ring, activation, to, stride);
  apply_function(activation,
                 {to, stride, group.last - group.first, std::min(kSlab, job.filter.stride() - slab * kSlab)});
}

bool filter_narrow(const FusedJob& job, const RowGroup& group, std::int64_t slab, const float* ring, std::byte* to) {
  if (job.block.depthwise.activation.kind == Activation::Kind::kFunction) return false;
  return HWY_DYNAMIC_DISPATCH(filter_bytes)(job, group, slab, ring, to);
}

void project_pixels(const FusedJob& job, const float* filtered, std::int64_t first, const RowView& columns,
                    const ConstRowView& residual, const Activation& activation, std::int64_t panel,
                    std::int64_t panel_last) {
  HWY_DYNAMIC_DISPATCH(project_tiles)(job, filtered, first, columns, residual, activation, panel, panel_last);
  apply_function(activation, columns);
}

}  // namespace voxshift::cpu
#endif
