// Weights of narrow products.
#pragma once

#include <voxshift/kernels_cpu/narrow_product.h>
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/row_view.h>

#include <cstddef>
#include <memory>

namespace voxshift::cpu {

/// The panels of every offset, one after the other, as NarrowProduct lays them out.
struct PackedNarrow final : PackedWeights {
  /// Weights [offsets, inputs, outputs] for features of f16 or bf16, rounded to it.
  PackedNarrow(const Context& context, const NarrowProduct& product, const float* weight, std::int64_t offsets,
               std::int64_t inputs, std::int64_t outputs);

  /// The same for features of i8.
  PackedNarrow(const Context& context, const NarrowProduct& product, const QuantizedWeights& weights,
               std::int64_t offsets, std::int64_t inputs, std::int64_t outputs);
  ~PackedNarrow() override;

  std::size_t bytes() const override;
  std::int64_t panels() const { return panels_of(out_channels); }
  std::int64_t panel_bytes() const { return product.panel_bytes(in_channels); }
  const std::byte* offset(std::int64_t k) const { return data + k * panels() * panel_bytes(); }

  const NarrowProduct& product;
  std::byte* data;
  float* multiplier;  ///< of i8: [panels * 16], 0 beyond the last channel; else null

 private:
  PackedNarrow(const NarrowProduct& narrow, std::int64_t offsets, std::int64_t inputs, std::int64_t outputs);
};

/// Weights f32 [offsets, inputs, outputs] for features of `dtype`: PackedPanels or PackedNarrow.
std::shared_ptr<const PackedWeights> pack_weights(const char* op, const Context& context, const float* weight,
                                                  std::int64_t offsets, std::int64_t inputs, std::int64_t outputs,
                                                  DType dtype);

/// The weights as they were packed for narrow features `in`. Throws BackendUnavailable for features of a dtype without
/// products.
const PackedNarrow& packed_for(const char* op, const PackedWeights& weights, const ConstRowView& in,
                               std::int64_t volume, std::int64_t outputs);

}  // namespace voxshift::cpu
