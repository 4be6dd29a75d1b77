// How fused_block goes through the rows of an image: group by group.
#pragma once

#include <voxshift/kernels_cpu/fused_job.h>
#include <voxshift/tensor/arena.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace voxshift::cpu {

// Bytes of a slab's ring: dense ones share L1 with weights and inputs; of masked ones only a part is touched.
constexpr std::int64_t kRingBytes = 24 << 10, kMaskedRingBytes = 96 << 10;

/// As many output rows per group as a ring of `bytes` has room for, at most `rows`.
inline void choose_rows(FusedJob& job, std::int64_t bytes, std::int64_t rows) {
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
inline void list_hidden(const FusedJob& job, RowGroup& group, const Lists& lists) {
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
  for (int i = 0; i < job.pieces() && job.in.rows.dtype == DType::kF32; ++i)
    for (std::int64_t p = 0; p < n; ++p) *start++ = job.start(i, lists.rows[p]);
  group.hidden_count = n;
  group.rows = lists.rows;
  group.slots = lists.slots;
  group.starts = lists.starts;
}

/// The next group from output row y on, of at most `most` rows.
inline RowGroup next_group(const FusedJob& job, std::int64_t y, std::int64_t y_last, std::int64_t ready) {
  RowGroup group{};
  group.y_first = y;
  group.y_last = std::min(y + job.group_rows, y_last);
  group.first = job.first_pixel(group.y_first);
  group.last = job.first_pixel(group.y_last);
  group.ready = std::max(ready, job.first_hidden(group.y_first));
  group.needed = job.last_hidden(group.y_last - 1);
  return group;
}

}  // namespace voxshift::cpu
