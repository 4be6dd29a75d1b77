#include <voxshift/kernels_cpu/fused_quads.h>

#include <algorithm>
#include <limits>

namespace voxshift::cpu {
namespace {

// Of a slab.
constexpr std::int64_t kRowsTogether = kSumRows * kSumPanels / kSlabPanels;

bool bounded(const Activation& activation) {
  return activation.kind == Activation::Kind::kNone || activation.kind == Activation::Kind::kRelu ||
         activation.kind == Activation::Kind::kRelu6;
}

/// Whether products with these are finite and keep their sign.
bool usual(const float* inverse, std::int64_t channels) {
  bool all = true;
  for (std::int64_t c = 0; c < channels; ++c) all = all && inverse[c] > 0 && inverse[c] < 0x1p95f;
  return all;
}

void bound(QuadEnd& end, const Activation& activation) {
  end.low = activation.kind == Activation::Kind::kNone ? -std::numeric_limits<float>::infinity() : 0;
  end.high = activation.kind == Activation::Kind::kRelu6 ? 6 : std::numeric_limits<float>::infinity();
}

}  // namespace

/// Hidden pixels of rows that a group adds to the ring of a slab: entries [first, last) of its list, or of its pixels.
struct FusedQuads::HiddenRows {
  const RowGroup& group;
  std::int64_t slab;
  const StagedRows& staged;
  std::int64_t first, last;

  const std::int32_t* pixels(std::int64_t entry) const { return group.rows != nullptr ? group.rows + entry : nullptr; }
};

FusedQuads::FusedQuads(const FusedJob& job) : job_(job), kernels_(*quad_kernels()) {}

bool FusedQuads::possible(const FusedJob& job) {
  const FusedBlock& block = job.block;
  const Window2d& window = block.depthwise.window;
  if (quad_kernels() == nullptr || job.filter.quads(0) == nullptr || !job.filter.finite) return false;
  if (window.padding != 1 || window.stride > 2 || !bounded(block.depthwise.activation)) return false;
  if (job.filtered_dtype() != DType::kI8) return false;
  const bool whole = job.narrow_first != nullptr && job.narrow_first->product().dtype == DType::kI8;
  if (whole && (!job.narrow_first->finite || !bounded(block.first.activation))) return false;
  if (!whole && job.in.rows.dtype != DType::kF32) return false;
  return usual(block.hidden_scales.inverse, block.first.out_channels) &&
         usual(block.filtered_scales.inverse, block.first.out_channels);
}

void FusedQuads::start(std::byte* ring) const { kernels_.start({ring, job_.hidden.width}, kSlabPanels); }

/// Sums of the first convolution, of f32 its values.
void FusedQuads::sum(const HiddenRows& rows, std::int64_t first, std::int64_t count, std::byte* memory) const {
  const std::int64_t panel = rows.slab * kSlabPanels;
  if (job_.narrow_first != nullptr) {
    const PackedNarrowConv2d& weights = *job_.narrow_first;
    const std::int64_t width = std::min(kSlabPanels, weights.panels() - panel);
    NarrowTile tile{rows.staged.data + first * rows.staged.stride,
                    rows.staged.stride,
                    count,
                    weights.product().groups(weights.matrix.in_channels),
                    weights.panel(panel),
                    weights.matrix.panel_bytes(),
                    width,
                    memory,
                    kSlab};
    tile.fresh = true;
    return weights.product().multiply(tile);
  }
  auto* const values = reinterpret_cast<float*>(memory);
  if (rows.group.rows != nullptr) return expand_listed(job_, rows.group, rows.slab, first, count, values);
  const std::int64_t width = job_.hidden.width;
  for (std::int64_t i = first, n = 0; i < first + count; i += n) {
    const std::int64_t pixel = rows.group.ready * width + i;
    n = job_.pointwise() ? first + count - i : std::min(first + count - i, width - pixel % width);
    expand_range(job_, rows.slab, pixel, n, values + (i - first) * kSlab);
  }
}

void FusedQuads::fill(const HiddenRows& rows, const QuadRing& ring, std::byte* memory) const {
  const std::int64_t channel = rows.slab * kSlab, channels = job_.block.first.out_channels - channel;
  QuadEnd end{nullptr, nullptr, job_.block.hidden_scales.inverse + channel, channels, 0, 0};
  bound(end, job_.block.first.activation);
  if (job_.narrow_first != nullptr) {
    end.multiplier = job_.narrow_first->matrix.multiplier + channel;
    end.bias = job_.narrow_first->bias.data() + channel;
  }
  const auto put = job_.narrow_first != nullptr ? kernels_.fill : kernels_.fill_values;
  const std::int64_t panels = std::min(kSlabPanels, panels_of(channels)), left = rows.last - rows.first;
  const std::int64_t parts = (left + kRowsTogether - 1) / kRowsTogether;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first = rows.first + left * part / parts, last = rows.first + left * (part + 1) / parts;
    sum(rows, first, last - first, memory);
    put(ring,
        {memory, kSlab, rows.group.ready * job_.hidden.width + first, last - first, rows.pixels(first), panels, end});
  }
}

void FusedQuads::fill_and_filter(const RowGroup& group, std::int64_t slab, const StagedRows& staged,
                                 std::byte* ring_memory, std::byte* filtered, std::byte* memory) const {
  const QuadRing ring{ring_memory, job_.hidden.width};
  const std::int64_t channel = slab * kSlab, channels = job_.block.first.out_channels - channel;
  QuadFilter filter{0,
                    job_.hidden.height,
                    job_.block.depthwise.window.stride,
                    0,
                    nullptr,
                    job_.filtered.width,
                    job_.filter.quads(slab * kSlabPanels),
                    std::min(kSlabPanels, panels_of(channels)),
                    {job_.filter.multiplier() + channel, job_.filter.bias() + channel,
                     job_.block.filtered_scales.inverse + channel, channels, 0, 0},
                    filtered + channel,
                    pixel_bytes()};
  bound(filter.end, job_.block.depthwise.activation);
  const std::int64_t width = job_.hidden.width;
  const std::int64_t together = filter.step == 1 ? 2 : 1;  // output rows whose hidden rows are no more than four
  HiddenRows rows{group, slab, staged, 0, 0};
  std::int64_t entry = group.first, ready = group.ready;
  for (std::int64_t y = group.y_first; y < group.y_last;) {
    const std::int64_t y_last = std::min(y + together, group.y_last), needed = job_.last_hidden(y_last - 1);
    ready = std::max(ready, needed);
    rows.first = rows.last;
    if (group.rows == nullptr) {
      rows.last = (ready - group.ready) * width;
    } else {
      while (rows.last < group.hidden_count && group.rows[rows.last] < ready * width) ++rows.last;
    }
    if (rows.first < rows.last) fill(rows, ring, memory);
    for (; y < y_last; ++y, filter.to += filter.count * filter.to_stride) {
      filter.y = y;
      filter.count = job_.filtered.width;
      if (job_.pixels.rows != nullptr) {
        filter.pixels = job_.pixels.rows + entry;
        filter.count = 0;
        while (entry < group.last && job_.pixels.rows[entry] < (y + 1) * job_.filtered.width) {
          ++entry;
          ++filter.count;
        }
      }
      if (filter.count > 0) kernels_.filter(ring, filter);
    }
  }
}

}  // namespace voxshift::cpu
