// Products of narrow numbers whose rows have all of their inputs: sums are started, summed and finished panel by panel.
#pragma once

#include <voxshift/kernels_cpu/finish_sums.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace voxshift::cpu {

/// Rows and panels whose sums lie in L1 together: of fewer panels there are more rows.
constexpr std::int64_t kSumRows = 48, kSumPanels = 4;

/// Bytes of a thread's sums, and of what the instructions need beside them.
std::int64_t sum_bytes(const PackedNarrowConv2d& weights);
std::int64_t sum_bytes(const PackedConv2d& weights);

/// Staged rows of a product, the first one at `data`.
struct StagedRows {
  const std::byte* data;
  std::int64_t stride, count;
};

/// Panels [first, last) of a product.
struct PanelRange {
  std::int64_t first, last;
};

/// Rows of f32 of a product: row r is row picked[r], or r where that is null; `channels` of the panels exist.
struct WideRows {
  float* base;
  std::int64_t stride, channels;
  const std::int32_t* picked = nullptr;
};

/// Multiplies rows of f32 by the panels: `to` = activation(rows W + bias), but for an activation that is a function.
void multiply_wide(const PackedConv2d& weights, const StagedRows& rows, PanelRange panels, const Activation& activation,
                   const WideRows& to);

/// Multiplies the rows by the panels and finishes them as `end` says, whose sums, multiplier and bias are this
/// function's, and whose columns are those of the panels. `memory` has sum_bytes().
void finish_product(const PackedNarrowConv2d& weights, const StagedRows& staged, PanelRange panels, std::byte* memory,
                    const FinishSums& end);
void finish_product(const PackedConv2d& weights, const StagedRows& staged, PanelRange panels, std::byte* memory,
                    const FinishSums& end);

}  // namespace voxshift::cpu
