// The first two convolutions of fused_block where all three are of i8, or the first of f32, on CPUs with quads.
#pragma once

#include <voxshift/kernels_cpu/fused_job.h>
#include <voxshift/kernels_cpu/narrow_conv2d.h>
#include <voxshift/kernels_cpu/row_quads.h>

#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

class FusedQuads {
 public:
  explicit FusedQuads(const FusedJob& job);

  /// Whether this CPU has quads and the block is one of those that they can do.
  static bool possible(const FusedJob& job);

  std::int64_t ring_bytes() const { return QuadRing::bytes(job_.hidden.width, kSlabPanels); }
  /// Bytes from filtered pixel to filtered pixel, which are staged for the last convolution.
  std::int64_t pixel_bytes() const { return (job_.channels() + 63) / 64 * 64; }

  void start(std::byte* ring) const;

  /// One slab of a group; `staged` is null where the first convolution is of f32. memory: sum_bytes().
  void fill_and_filter(const RowGroup& group, std::int64_t slab, const StagedRows& staged, std::byte* ring,
                       std::byte* filtered, std::byte* memory) const;

 private:
  struct HiddenRows;
  void fill(const HiddenRows& rows, const QuadRing& ring, std::byte* memory) const;
  void sum(const HiddenRows& rows, std::int64_t first, std::int64_t count, std::byte* memory) const;

  const FusedJob& job_;
  const QuadKernels& kernels_;
};

}  // namespace voxshift::cpu
