#include <voxshift/kernels_cpu/narrow_rows.h>
#include <voxshift/kernels_cpu/parallel.h>

#include <algorithm>
#include <cstring>

namespace voxshift::cpu {
namespace {

std::int64_t whole_lines(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

NarrowWeights::NarrowWeights(const Context& context, const PackedNarrow& weights, bool many)
    : product_(&weights.product), data_(weights.data), channels_(weights.in_channels), panels_(weights.panels()) {
  if (!many || product_->wide == nullptr) return;
  const NarrowProduct& narrow = *product_;
  product_ = narrow.wide;
  const std::int64_t bytes = product_->panel_bytes(channels_), count = weights.volume * panels_;
  auto* const wide = context.arena->allocate<std::byte>(bytes * count);
  parallel_for(context, count, [&](std::int64_t panel, int) {
    narrow.widen(weights.data + panel * weights.panel_bytes(), channels_, wide + panel * bytes);
  });
  data_ = wide;
}

std::int64_t NarrowWeights::scratch_bytes() const {
  return product_->staged_rows * product_->row_bytes(channels_) + whole_lines(product_->scratch_bytes(channels_));
}

void NarrowWeights::multiply(const ConstRowView& in, std::int64_t k, const std::int32_t* in_rows,
                             const std::int32_t* out_rows, std::int64_t count, std::int64_t first_out, void* sums,
                             std::byte* scratch, const std::int32_t* next, std::int64_t next_count) const {
  const NarrowProduct& product = *product_;
  const auto size = static_cast<std::int64_t>(size_of(in.dtype));
  const std::int64_t row_bytes = product.row_bytes(channels_), panel_bytes = product.panel_bytes(channels_);
  const std::int64_t sums_stride = panels_ * kPanel;
  NarrowTile tile{
      scratch, row_bytes, 0,          product.groups(channels_), data_ + k * panels_ * panel_bytes, panel_bytes,
      panels_, sums,      sums_stride};
  tile.scratch = scratch + product.staged_rows * row_bytes;
  NarrowRows rows{
      static_cast<const std::byte*>(in.base), in.row_stride * size, in_rows, 0, channels_, scratch, row_bytes};
  NarrowRows ahead = rows;
  if (in_rows != nullptr) tile.next = &ahead;
  for (std::int64_t p = 0; p < count; p += tile.rows) {
    tile.rows = rows.count = std::min<std::int64_t>(product.staged_rows, count - p);
    const std::int64_t left = count - p - rows.count;
    if (in_rows != nullptr) {
      rows.rows = in_rows + p;
      ahead.rows = left > 0 ? in_rows + p + rows.count : next;
      ahead.count = std::min<std::int64_t>(product.staged_rows, left > 0 ? left : next_count);
    }
    product.stage(rows);
    if (in_rows == nullptr) rows.from += rows.count * rows.stride;
    if (out_rows != nullptr) {
      tile.sum_rows = out_rows + p;
      tile.first_sum_row = first_out;
    } else {
      tile.sums = static_cast<std::int32_t*>(sums) + p * sums_stride;
    }
    product.multiply(tile);
  }
}

void start_narrow_sums(const PackedNarrow& weights, const float* bias, std::int64_t rows, void* sums) {
  const auto row_bytes = static_cast<std::size_t>(weights.panels() * kPanel) * sizeof(float);
  if (bias == nullptr || weights.multiplier != nullptr) {
    std::memset(sums, 0, row_bytes * static_cast<std::size_t>(rows));
    return;
  }
  if (rows == 0) return;
  std::memset(sums, 0, row_bytes);
  std::memcpy(sums, bias, static_cast<std::size_t>(weights.out_channels) * sizeof(float));
  for (std::int64_t r = 1; r < rows; ++r)
    std::memcpy(static_cast<std::byte*>(sums) + static_cast<std::size_t>(r) * row_bytes, sums, row_bytes);
}

}  // namespace voxshift::cpu
