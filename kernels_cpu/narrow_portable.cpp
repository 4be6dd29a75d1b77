// Products of i8 in plain loops, for processors without a table of their own.
#include <voxshift/kernels_cpu/narrow_sets.h>

#include <cstring>

namespace voxshift::cpu {
namespace {

void stage_bytes(const NarrowRows& r) {
  for (std::int64_t i = 0; i < r.count; ++i)
    std::memcpy(r.to + i * r.to_stride, r.from + (r.rows != nullptr ? r.rows[i] : i) * r.stride,
                static_cast<std::size_t>(r.channels));
}

void multiply_bytes(const NarrowTile& t) {
  for (std::int64_t panel = 0; panel < t.panels; ++panel) {
    const std::byte* const head = t.panel + panel * t.panel_stride;
    const auto* const weights = reinterpret_cast<const std::int8_t*>(head + kPanel * 4);
    for (std::int64_t row = 0; row < t.rows; ++row) {
      const auto* const x = reinterpret_cast<const std::int8_t*>(t.staged + row * t.staged_stride);
      const std::int64_t to = t.sum_rows != nullptr ? t.sum_rows[row] - t.first_sum_row : row;
      auto* const sums = static_cast<std::int32_t*>(t.sums) + to * t.sums_stride + panel * kPanel;
      for (std::int64_t i = 0; i < t.groups; ++i)
        for (std::int64_t o = 0; o < kPanel; ++o) sums[o] += x[i] * weights[i * kPanel + o];
    }
  }
}

}  // namespace

const NarrowProduct kPortableI8{"plain loops", DType::kI8, 1, 1, 1, 0, 96, stage_bytes, multiply_bytes};

}  // namespace voxshift::cpu
