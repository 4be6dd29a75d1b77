// convolution -> depthwise -> pointwise without writing down what lies between them.
//
// The hidden channels are cut into slabs of 32. For a few output rows at a time, and slab by slab, the first
// convolution fills a ring of hidden rows that stays in L1, and the depthwise convolution reads it at once; what comes
// out of all slabs, still in L2, goes through the last convolution. Threads split the output rows, and compute hidden
// rows at their seams twice; where an image has too few rows for that, they split slabs and meet before the last
// convolution.
//
// Where a convolution reads narrow numbers, its rows are staged and multiplied by narrow products. The ring holds f32
// whatever the dtype: of i8 the whole numbers, whose sums with whole weights are exact, so that nothing is converted
// between the two convolutions; f16 and bf16 are not rounded there.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/fused_groups.h>
#include <voxshift/kernels_cpu/fused_quads.h>
#include <voxshift/kernels_cpu/narrow_conv2d.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>
#include <voxshift/kernels_cpu/window_stage.h>

#include <cstring>
#include <new>
#include <optional>

namespace voxshift::cpu {
namespace {

// Rows whose filtered numbers are staged together.
constexpr std::int64_t kProjectRows = kSumRows;

std::int64_t whole_lines(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

/// The work on one group of rows, and the memory of it: rings, filtered pixels, and staged inputs are of a group, the
/// rest of a thread.
class FusedParts {
 public:
  explicit FusedParts(const FusedJob& job, const std::byte* zeros) : job_(job) {
    if (job.in.rows.dtype != DType::kF32)
      stage_.emplace(narrow_product(job.in.rows.dtype), job.block.first.window, job.block.in, job.hidden, job.in,
                     zeros);
    if (FusedQuads::possible(job)) quads_.emplace(job);
  }

  /// As many output rows per group as are worth while in the cache, at most `rows`.
  void choose_group(FusedJob& job, std::int64_t rows) const {
    if (!quads_) return choose_rows(job, job.hidden_mask != nullptr ? kMaskedRingBytes : kRingBytes, rows);
    // The ring is small whatever there is: staged and filtered rows are to be in L1, or near.
    constexpr std::int64_t kGroupBytes = 96 << 10;
    const std::int64_t stride = job.block.depthwise.window.stride;
    const std::int64_t row_bytes =
        job.filtered.width * quads_->pixel_bytes() + (stage_ ? stride * job.hidden.width * stage_->stride() : 0);
    job.group_rows = std::clamp<std::int64_t>(kGroupBytes / row_bytes, 1, rows);
    job.ring_rows = (job.group_rows - 1) * stride + job.block.depthwise.window.kernel;
  }
  /// The largest groups that choose_group() gives, whatever the mask.
  void choose_largest_group(FusedJob& job, std::int64_t rows) const {
    quads_ ? choose_group(job, rows) : choose_rows(job, kMaskedRingBytes, rows);
  }

  std::int64_t ring_bytes() const {
    return quads_ ? quads_->ring_bytes() : job_.ring_floats() * std::int64_t{sizeof(float)};
  }
  /// Bytes from filtered pixel to filtered pixel.
  std::int64_t pixel_bytes() const {
    return quads_ ? quads_->pixel_bytes() : job_.channels() * static_cast<std::int64_t>(size_of(job_.filtered_dtype()));
  }
  std::int64_t filtered_bytes() const { return whole_lines(job_.group_pixels() * pixel_bytes()); }
  std::int64_t staged_bytes() const {
    return stage_ ? stage_->bytes(job_.ring_rows * job_.hidden.width) + 64 + picks_bytes() : 0;
  }
  std::int64_t thread_bytes() const {
    std::int64_t bytes = job_.plain_filter() ? 0 : job_.group_pixels() * kSlab * std::int64_t{sizeof(float)};
    if (job_.narrow_project != nullptr) bytes += kProjectRows * project_row_bytes();
    return bytes + sums_bytes();
  }

  /// Before the first row of a ring.
  void start(std::byte* ring) const {
    if (quads_) quads_->start(ring);
  }

  void stage(const RowGroup& group, std::byte* staged) const {
    if (!stage_) return;
    const std::int64_t width = job_.hidden.width;
    const std::int64_t count = group.rows != nullptr ? group.hidden_count : (group.needed - group.ready) * width;
    auto* const picks = reinterpret_cast<std::int32_t*>(staged + staged_bytes() - picks_bytes());
    stage_->stage(group.rows, group.rows != nullptr ? 0 : group.ready * width, count, picks, staged);
  }

  void fill_and_filter(const RowGroup& group, std::int64_t slab, const std::byte* staged, std::byte* ring_memory,
                       std::byte* filtered, std::byte* memory) const {
    if (quads_)
      return quads_->fill_and_filter(group, slab, {staged, stage_ ? stage_->stride() : 0, 0}, ring_memory, filtered,
                                     memory);
    auto* const ring = reinterpret_cast<float*>(ring_memory);
    if (job_.narrow_first != nullptr) {
      fill_narrow(group, slab, staged, ring, memory);
    } else {
      if (stage_) {
        fill_staged(group, slab, staged, ring);
      } else {
        fill_slab(job_, group, slab, ring);
      }
      if (job_.filter.whole()) make_whole(group, slab, ring);
    }
    filter(group, slab, ring, filtered, memory);
  }

  /// Entries [first, first + count) of the pixels.
  void project(const std::byte* filtered, std::int64_t first, std::int64_t count, std::int64_t panel,
               std::int64_t panel_last, std::byte* memory) const {
    if (job_.narrow_project != nullptr) return project_narrow(filtered, first, count, panel, panel_last, memory);
    const auto* const numbers = reinterpret_cast<const float*>(filtered);
    if (f32_ends())
      return project_pixels(job_, numbers, first, panel_columns(job_.out.rows(first, count), panel, panel_last),
                            job_.residual, job_.block.project.activation, panel, panel_last);
    for (std::int64_t i = 0; i < count; i += kSumRows)
      for (std::int64_t p = panel; p < panel_last; p += kSumPanels)
        project_finished(numbers + i * job_.channels(), first + i, std::min(kSumRows, count - i), p,
                         std::min(p + kSumPanels, panel_last), memory);
  }

 private:
  std::int64_t picks_bytes() const { return whole_lines(job_.ring_rows * job_.hidden.width * 4); }
  std::int64_t project_row_bytes() const {
    return job_.narrow_project->product().row_bytes(job_.narrow_project->in_channels);
  }
  std::int64_t sums_bytes() const {
    std::int64_t bytes = f32_ends() ? 0 : kSumRows * kSumPanels * kPanel * std::int64_t{sizeof(float)};
    for (const PackedNarrowConv2d* weights : {job_.narrow_first, job_.narrow_project})
      if (weights != nullptr) bytes = std::max(bytes, sum_bytes(*weights));
    return bytes;
  }
  bool f32_ends() const {
    return job_.out.dtype == DType::kF32 && (job_.residual.base == nullptr || job_.residual.dtype == DType::kF32);
  }

  PanelRange slab_panels(std::int64_t slab) const {
    return {slab * kSlabPanels, std::min((slab + 1) * kSlabPanels, panels_of(job_.block.first.out_channels))};
  }
  /// Hidden channels of a slab.
  std::int64_t slab_channels(std::int64_t slab) const {
    return std::min(kSlab, job_.block.first.out_channels - slab * kSlab);
  }
  const float* hidden_inverse(std::int64_t slab) const {
    return job_.filter.whole() ? job_.block.hidden_scales.inverse + slab * kSlab : nullptr;
  }

  /// Calls body(staged rows, where they lie in the ring) for the hidden pixels that the group adds to it; listed ones
  /// lie at their slots.
  template <class Body>
  void for_staged(const RowGroup& group, const std::byte* staged, const Body& body) const {
    const std::int64_t stride = stage_->stride();
    if (group.slots != nullptr) return body(StagedRows{staged, stride, group.hidden_count}, 0);
    for_ring_ranges(job_, group, [&](const RingRange& range) {
      const std::int64_t before = range.pixel - group.ready * job_.hidden.width;
      body(StagedRows{staged + before * stride, stride, range.count}, range.slot);
    });
  }

  void fill_narrow(const RowGroup& group, std::int64_t slab, const std::byte* staged, float* ring,
                   std::byte* memory) const {
    const PackedNarrowConv2d& weights = *job_.narrow_first;
    FinishSums end{nullptr, 0, 0, false, nullptr, nullptr, false, job_.block.first.activation};
    end.inverse = hidden_inverse(slab);
    end.out_rows = group.slots;
    for_staged(group, staged, [&](const StagedRows& rows, std::int64_t slot) {
      end.out = {ring + slot * kSlab, kSlab, rows.count, slab_channels(slab)};
      finish_product(weights, rows, slab_panels(slab), memory, end);
    });
  }

  void fill_staged(const RowGroup& group, std::int64_t slab, const std::byte* staged, float* ring) const {
    const Activation& activation = job_.block.first.activation;
    for_staged(group, staged, [&](const StagedRows& rows, std::int64_t slot) {
      float* const to = ring + slot * kSlab;
      multiply_wide(*job_.first, rows, slab_panels(slab), activation, {to, kSlab, kSlab, group.slots});
      for (std::int64_t i = 0; i < rows.count && activation.kind == Activation::Kind::kFunction; ++i)
        apply_function(activation,
                       {to + (group.slots != nullptr ? group.slots[i] : i) * kSlab, kSlab, 1, slab_channels(slab)});
    });
  }

  /// Makes the whole numbers that i8 has of what the first convolution, of f32, has left in the ring.
  void make_whole(const RowGroup& group, std::int64_t slab, float* ring) const {
    constexpr Activation kNone;
    const auto round = [&](std::int64_t slot, std::int64_t count) {
      FinishSums end{ring + slot * kSlab, kSlab, count, false, nullptr, nullptr, false, kNone};
      end.inverse = hidden_inverse(slab);
      end.out = {end.sums, kSlab, count, slab_channels(slab)};
      finish_sums(end);
    };
    if (group.slots != nullptr) {
      for (std::int64_t i = 0; i < group.hidden_count; ++i) round(group.slots[i], 1);
    } else {
      for_ring_ranges(job_, group, [&](const RingRange& range) { round(range.slot, range.count); });
    }
  }

  void filter(const RowGroup& group, std::int64_t slab, const float* ring, std::byte* filtered,
              std::byte* memory) const {
    if (job_.plain_filter())
      return filter_slab(job_, group, slab, ring, false, reinterpret_cast<float*>(filtered) + slab * kSlab,
                         job_.channels());
    const auto slab_bytes = slab * kSlab * static_cast<std::int64_t>(size_of(job_.filtered_dtype()));
    if (filter_narrow(job_, group, slab, ring, filtered + slab_bytes)) return;
    auto* const sums = reinterpret_cast<float*>(memory + sums_bytes());
    filter_slab(job_, group, slab, ring, true, sums, kSlab);
    const std::int64_t count = group.last - group.first;
    FinishSums end{sums, kSlab, count, false, nullptr, nullptr, job_.filter.finite, job_.block.depthwise.activation};
    if (job_.filter.whole()) {
      end.multiplier = job_.filter.multiplier() + slab * kSlab;
      end.bias = job_.filter.bias() + slab * kSlab;
    }
    end.out = RowView{filtered,
                      job_.channels(),
                      count,
                      job_.block.first.out_channels,
                      job_.filtered_dtype(),
                      job_.block.filtered_scales}
                  .columns(slab * kSlab, slab_channels(slab));
    finish_sums(end);
  }

  void project_narrow(const std::byte* filtered, std::int64_t first, std::int64_t count, std::int64_t panel,
                      std::int64_t panel_last, std::byte* memory) const {
    const PackedNarrowConv2d& weights = *job_.narrow_project;
    if (quads_)
      return finish_product(weights, {filtered, pixel_bytes(), count}, {panel, panel_last}, memory,
                            project_end(first, count, panel, panel_last));
    std::byte* const staged = memory + thread_bytes() - kProjectRows * project_row_bytes();
    for (std::int64_t i = 0; i < count; i += kProjectRows) {
      const std::int64_t rows = std::min(kProjectRows, count - i);
      weights.product().stage({filtered + i * pixel_bytes(), pixel_bytes(), nullptr, rows, weights.in_channels, staged,
                               project_row_bytes()});
      finish_product(weights, {staged, project_row_bytes(), rows}, {panel, panel_last}, memory,
                     project_end(first + i, rows, panel, panel_last));
    }
  }

  FinishSums project_end(std::int64_t first, std::int64_t count, std::int64_t panel, std::int64_t panel_last) const {
    FinishSums end{nullptr, 0, count, false, nullptr, nullptr, false, job_.block.project.activation};
    end.out = panel_columns(job_.out.rows(first, count), panel, panel_last);
    add_residual(end, job_.residual, job_.pixels, first, panel * kPanel);
    return end;
  }

  void project_finished(const float* filtered, std::int64_t first, std::int64_t count, std::int64_t panel,
                        std::int64_t panel_last, std::byte* memory) const {
    FinishSums end = project_end(first, count, panel, panel_last);
    end.stride = (panel_last - panel) * kPanel;
    end.sums = memory;
    project_pixels(job_, filtered, first, {memory, end.stride, count, end.out.channels}, {}, {}, panel, panel_last);
    finish_sums(end);
  }

  const FusedJob& job_;
  std::optional<WindowStage> stage_;
  std::optional<FusedQuads> quads_;
};

/// Memory of some strips or threads, each of `bytes`.
struct Pieces {
  std::byte* memory;
  std::int64_t bytes;

  Pieces(Arena& arena, std::int64_t count, std::int64_t each)
      : memory(arena.allocate<std::byte>(count * each)), bytes(each) {}
  std::byte* operator[](std::int64_t i) const { return memory + i * bytes; }
};

/// Threads split rows.
void run_strips(const Context& context, FusedJob& job, const FusedParts& parts, std::int64_t strips) {
  const std::int64_t height = job.filtered.height;
  // Room for lists whether there are any or not: a frame of all pixels is to leave as much memory as any other needs.
  parts.choose_largest_group(job, (height + strips - 1) / strips);
  const Pieces rings(*context.arena, strips, job.slabs * parts.ring_bytes());
  const Pieces filtered(*context.arena, strips, parts.filtered_bytes());
  const Pieces staged(*context.arena, strips, parts.staged_bytes());
  const Pieces memory(*context.arena, strips, parts.thread_bytes());
  auto* const lists = context.arena->allocate<Lists>(strips);
  for (std::int64_t strip = 0; strip < strips; ++strip) new (lists + strip) Lists(job, *context.arena);
  parts.choose_group(job, (height + strips - 1) / strips);
  parallel_for(for_work(context, job.macs()), strips, [&](std::int64_t strip, int) {
    for (std::int64_t slab = 0; slab < job.slabs; ++slab) parts.start(rings[strip] + slab * parts.ring_bytes());
    std::int64_t ready = 0;
    const std::int64_t y_last = job.first_row(strip + 1, strips);
    for (std::int64_t y = job.first_row(strip, strips); y < y_last; y += job.group_rows) {
      RowGroup group = next_group(job, y, y_last, ready);
      if (group.first == group.last) continue;
      if (job.hidden_mask != nullptr) list_hidden(job, group, lists[strip]);
      parts.stage(group, staged[strip]);
      for (std::int64_t slab = 0; slab < job.slabs; ++slab)
        parts.fill_and_filter(group, slab, staged[strip], rings[strip] + slab * parts.ring_bytes(), filtered[strip],
                              memory[strip]);
      parts.project(filtered[strip], group.first, group.last - group.first, 0,
                    panels_of(job.block.project.out_channels), memory[strip]);
      ready = group.needed;
    }
  });
}

/// Threads split slabs, then pixels and panels of the last convolution.
void run_slabs(const Context& context, FusedJob& job, const FusedParts& parts) {
  job.group_rows = job.filtered.height;
  job.ring_rows = job.hidden.height;
  RowGroup group = next_group(job, 0, job.filtered.height, 0);
  const Pieces rings(*context.arena, context.threads, parts.ring_bytes());
  const Pieces memory(*context.arena, context.threads, parts.thread_bytes());
  const Pieces filtered(*context.arena, 1, parts.filtered_bytes());
  const Pieces staged(*context.arena, 1, parts.staged_bytes());
  const Lists lists(job, *context.arena);
  if (job.hidden_mask != nullptr) list_hidden(job, group, lists);
  parts.stage(group, staged[0]);
  const Context shared = for_work(context, job.macs());
  parallel_for(shared, job.slabs, [&](std::int64_t slab, int thread) {
    parts.start(rings[thread]);
    parts.fill_and_filter(group, slab, staged[0], rings[thread], filtered[0], memory[thread]);
  });
  constexpr std::int64_t kPixels = 28;
  const std::int64_t panels = panels_of(job.block.project.out_channels), pairs = (panels + 1) / 2;
  const std::int64_t pieces = (job.pixels.count + kPixels - 1) / kPixels;
  parallel_for(shared, pieces * pairs, [&](std::int64_t task, int thread) {
    const std::int64_t first = task % pieces * kPixels, panel = task / pieces * 2;
    parts.project(filtered[0] + first * parts.pixel_bytes(), first, std::min(kPixels, job.pixels.count - first), panel,
                  std::min(panel + 2, panels), memory[thread]);
  });
}

}  // namespace

void fused_block(const Context& context, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out) {
  if (pixels.count == 0) return;
  FusedJob job{block, in, residual, hidden, pixels, out};
  check_features("fused_block", features_of("fused_block", block.first), in.rows.dtype);
  if (computed_in_f32(in.rows.dtype)) {
    job.first = &conv2d_weights("fused_block", block.first);
  } else {
    job.narrow_first = &narrow_weights("fused_block", block.first);
  }
  if (computed_in_f32(features_of("fused_block", block.project))) {
    job.project = &conv2d_weights("fused_block", block.project);
  } else {
    job.narrow_project = &narrow_weights("fused_block", block.project);
  }
  const Arena::Mark mark = context.arena->mark();
  auto* const zeros = context.arena->allocate<std::byte>(block.first.in_channels * 2);
  std::memset(zeros, 0, static_cast<std::size_t>(block.first.in_channels * 2));
  const FusedParts parts(job, zeros);
  // A strip of fewer rows would compute too many of its hidden rows twice.
  constexpr std::int64_t kLeastRows = 7;
  if (context.threads > 1 && job.filtered.height < kLeastRows * context.threads) {
    run_slabs(context, job, parts);
  } else {
    run_strips(context, job, parts, context.threads);
  }
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
