// Trilinear corners and their weights, by hash for any points and by searches between levels, and the mixture of rows.
#include <voxshift/kernels_cuda/binary_search.h>
#include <voxshift/kernels_cuda/hash_table.h>
#include <voxshift/kernels_cuda/point_voxel.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/segments.h>

#include <cstdint>

namespace voxshift::cuda {
namespace {

constexpr int kCorners = 8;  // z fastest

// weights[j] = product of 1 - f and f where indices[j] is present, else 0.
__device__ inline void corner_weights(const float* f, const std::int32_t* indices, Trilinear mode, float* weights) {
  float corner[kCorners], sum = 0;
  for (int j = 0; j < kCorners; ++j) {
    const float x = (j >> 2) != 0 ? f[0] : 1 - f[0], y = (j >> 1 & 1) != 0 ? f[1] : 1 - f[1];
    const float z = (j & 1) != 0 ? f[2] : 1 - f[2];
    corner[j] = indices[j] >= 0 ? x * y * z : 0.0f;
    sum += corner[j];
  }
  for (int j = 0; j < kCorners; ++j) weights[j] = mode == Trilinear::kRaw ? corner[j] : corner[j] / (sum + 1e-8f);
}

__device__ inline bool inside(const KeyLayout& layout, int axis, std::int64_t c) {
  return c >= layout.lowest(axis) && c <= layout.highest(axis);
}

__device__ inline std::int64_t part(const KeyLayout& layout, int axis, std::int64_t c) {
  return (c - layout.lowest(axis)) * (std::int64_t{1} << layout.shift(axis));
}

struct Scale {
  float stride[3];
};

// The rows of the corners around p (batch, x, y, z), and where p lies between them.
__device__ inline void find_corners(const float* p, const Scale& scale, const KeyLayout& layout, const HashSlot* slots,
                                    std::int64_t capacity, float* fraction, std::int32_t* corners) {
  constexpr float kFurthest = 4294967296.0f;  // 2^32: no corner beyond it can be present
  std::int64_t low[3];
  bool present = p[0] >= 0 && p[0] < kFurthest && p[0] == floorf(p[0]);
  for (int axis = 0; axis < 3; ++axis) {
    const float q = p[axis + 1] / scale.stride[axis], below = floorf(q);
    present = present && fabsf(below) < kFurthest;
    low[axis] = present ? static_cast<std::int64_t>(below) : 0;
    fraction[axis] = q - below;
  }
  const std::int64_t batch = present ? static_cast<std::int64_t>(p[0]) : 0;
  present = present && inside(layout, 0, batch);
  for (int j = 0; j < kCorners; ++j) {
    const std::int64_t x = low[0] + (j >> 2), y = low[1] + (j >> 1 & 1), z = low[2] + (j & 1);
    corners[j] = -1;
    if (present && inside(layout, 1, x) && inside(layout, 2, y) && inside(layout, 3, z))
      corners[j] = find_row(slots, capacity,
                            part(layout, 0, batch) + part(layout, 1, x) + part(layout, 2, y) + part(layout, 3, z));
  }
}

// Rows of (batch, x, y, z) and of (batch, x, y, z + 1). The keys of both follow each other, and z may be one below the
// lowest: a key's spare bits keep it from meeting another. Axes that a level has not are 0 everywhere.
__device__ inline void find_pair(const Level& level, const std::int64_t* c, std::int32_t* pair) {
  const KeyLayout& layout = level.layout;
  pair[0] = pair[1] = -1;
  if (!inside(layout, 0, c[0]) || !inside(layout, 1, c[1]) || !inside(layout, 2, c[2])) return;
  if (c[3] + 1 < layout.lowest(3) || c[3] > layout.highest(3)) return;
  std::int64_t sought = 0;
  for (int axis = 0; axis < 4; ++axis) sought += part(layout, axis, c[axis]);
  std::int64_t at = lower_bound(level.keys, level.count, sought);
  if (at < level.count && level.keys[at] == sought) pair[0] = static_cast<std::int32_t>(at++);
  if (layout.axes() == 4 && at < level.count && level.keys[at] == sought + 1) pair[1] = static_cast<std::int32_t>(at);
}

template <int kWidth, class In, class Out>
void mix_rows(const Queue& queue, In in, const std::int32_t* indices, const float* weights, int k, bool fused,
              Out out) {
  for_each_cell(queue, out.count, out.channels / kWidth, [=] __device__(std::int64_t i, std::int64_t pack) {
    float sums[kWidth] = {};
    for (int j = 0; j < k; ++j) {
      const std::int32_t row = indices[i * k + j];
      const float weight = weights[i * k + j];
      if (row < 0 || weight == 0) continue;
      float x[kWidth];
      read(in, row, pack * kWidth, x);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) sums[e] = add_product(weight, x[e], sums[e], fused);
    }
    write(out, i, pack * kWidth, sums);
  });
}

template <int kWidth, class T>
void sum_entries(const Queue& queue, Rows<const T> grad, const Segments& entries, const float* weights, std::int64_t k,
                 Rows<T> out) {
  for_each_cell(queue, out.count, out.channels / kWidth, [=] __device__(std::int64_t s, std::int64_t pack) {
    float sums[kWidth] = {};
    for (std::int64_t i = entries.splits[s]; i < entries.splits[s + 1]; ++i) {
      const std::int32_t e = entries.order[i];
      const float weight = weights != nullptr ? weights[e] : 1.0f;
      float x[kWidth];
      read(grad, e / k, pack * kWidth, x);
#pragma unroll
      for (int c = 0; c < kWidth; ++c) sums[c] = fmaf(weight, x[c], sums[c]);
    }
    write(out, s, pack * kWidth, sums);
  });
}

}  // namespace

void trilinear(const Queue& queue, const float* points, std::int64_t n, const float* stride, const KeyLayout& layout,
               const HashSlot* slots, std::int64_t capacity, Trilinear mode, std::int32_t* indices, float* weights) {
  const Scale scale{{stride[0], stride[1], stride[2]}};
  for_each(queue, n, [=] __device__(std::int64_t i) {
    float fraction[3];
    find_corners(points + 4 * i, scale, layout, slots, capacity, fraction, indices + kCorners * i);
    corner_weights(fraction, indices + kCorners * i, mode, weights + kCorners * i);
  });
}

void link(const Queue& queue, const Level& fine, const Level& coarse, const Window::Extents& stride,
          std::int32_t* parents, std::int32_t* indices, float* weights) {
  for_each(queue, fine.count, [=] __device__(std::int64_t i) {
    std::int32_t c[kMaxAxes] = {};
    fine.layout.unpack(fine.keys[i], c);
    std::int64_t cell[4] = {c[0]};
    float fraction[3];
    for (int axis = 0; axis < 3; ++axis) {
      const std::int32_t step = stride[static_cast<std::size_t>(axis)], at = c[axis + 1];
      cell[axis + 1] = at / step - (at % step < 0);
      fraction[axis] = static_cast<float>(at - cell[axis + 1] * step) / static_cast<float>(step);
    }
    std::int32_t corners[kCorners];
    find_pair(coarse, cell, corners);
    parents[i] = corners[0];
    if (indices == nullptr) return;
    for (int column = 1; column < kCorners / 2; ++column) {
      const std::int64_t moved[4] = {cell[0], cell[1] + (column >> 1), cell[2] + (column & 1), cell[3]};
      find_pair(coarse, moved, corners + 2 * column);
    }
    for (int j = 0; j < kCorners; ++j) indices[kCorners * i + j] = corners[j];
    corner_weights(fraction, corners, Trilinear::kRenormalized, weights + kCorners * i);
  });
}

void interpolate(const Queue& queue, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                 std::int64_t k, const RowView& out) {
  with_rows(
      "interpolate",
      [&](auto from, auto to) {
        constexpr int kWidth = std::is_same_v<decltype(to), Rows<float>> ? 4 : 8;
        const bool packs = holds_packs(in, kWidth) && holds_packs(out, kWidth), fused = are_fused(in, out);
        const auto mix =
            packs ? mix_rows<kWidth, decltype(from), decltype(to)> : mix_rows<1, decltype(from), decltype(to)>;
        mix(queue, from, indices, weights, static_cast<int>(k), fused, to);
      },
      in, out);
}

void interpolate_backward(const Queue& queue, const ConstRowView& grad, const std::int32_t* indices,
                          const float* weights, std::int64_t k, const RowView& out) {
  const Arena::Mark mark = queue.arena().mark();
  const std::int64_t n = grad.count * k;
  const std::int32_t* taken = indices;
  if (weights != nullptr) {
    auto* weighted = queue.arena().allocate<std::int32_t>(n);
    for_each(queue, n, [=] __device__(std::int64_t e) { weighted[e] = weights[e] == 0 ? -1 : indices[e]; });
    taken = weighted;
  }
  const Segments entries = by_segment(queue, taken, n, out.count);
  with_real_type("interpolate_backward", out.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr int kWidth = sizeof(float) / sizeof(T);  // numbers in one word
    const auto sum = holds_packs(grad, kWidth) && holds_packs(out, kWidth) ? sum_entries<kWidth, T> : sum_entries<1, T>;
    sum(queue, rows<T>(grad), entries, weights, k, rows<T>(out));
  });
  queue.arena().rewind(mark);
}

}  // namespace voxshift::cuda
