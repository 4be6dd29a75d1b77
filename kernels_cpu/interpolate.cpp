// Trilinear corners and their weights, by hash for any points and by cursors between levels, and the mixture of rows.
#include <voxshift/kernels_cpu/hash_table.h>
#include <voxshift/kernels_cpu/narrow_mix.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/point_voxel.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/interpolate.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/mix_rows.h>

#ifndef VOXSHIFT_KERNELS_CPU_INTERPOLATE
#define VOXSHIFT_KERNELS_CPU_INTERPOLATE
namespace voxshift::cpu {

constexpr int kMostMixed = 8;  // rows that make one

/// Operands of interpolate().
struct Interpolated {
  ConstRowView in;
  const std::int32_t* indices;  ///< [out.count, k]
  const float* weights;
  std::int64_t k;
  RowView out;
  bool past_caches;
};

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// The rows that make one output row, without those that add nothing.
struct Mixture {
  const float* rows[kMostMixed];
  float weights[kMostMixed];
  std::int64_t count;

  HWY_INLINE const float* row(std::int64_t j) const { return rows[j]; }
  HWY_INLINE float weight(std::int64_t j) const { return weights[j]; }
};

/// Rows [first, last) of interpolate().
template <bool kPast>
HWY_INLINE void mix_rows_to(const Interpolated& op, std::int64_t first, std::int64_t last) {
  constexpr std::int64_t kAhead = 8;  // rows whose sources are asked for before they are needed
  constexpr std::int64_t kLine = 64 / sizeof(float);
  const auto source = [base = static_cast<const float*>(op.in.base), stride = op.in.row_stride](std::int64_t row) {
    return base + row * stride;
  };
  for (std::int64_t i = first; i < last; ++i) {
    Mixture mixture;
    mixture.count = 0;
    for (std::int64_t j = i * op.k; j < (i + 1) * op.k; ++j) {
      mixture.rows[mixture.count] = source(op.indices[j] >= 0 ? op.indices[j] : 0);
      mixture.weights[mixture.count] = op.weights[j];
      mixture.count += op.indices[j] >= 0 && op.weights[j] != 0;
    }
    if (i + kAhead < last)
      for (std::int64_t j = (i + kAhead) * op.k; j < (i + kAhead + 1) * op.k; ++j)
        if (op.indices[j] >= 0 && op.weights[j] != 0)
          for (std::int64_t c = 0; c < op.in.channels; c += kLine) hwy::Prefetch(source(op.indices[j]) + c);
    mix<kPast>(mixture, op.out.channels, static_cast<float*>(op.out.base) + i * op.out.row_stride);
  }
}

void mix_rows(const Interpolated& op, std::int64_t first, std::int64_t last) {
  if (op.past_caches) {
    mix_rows_to<true>(op, first, last);
    hwy::FlushStream();
  } else {
    mix_rows_to<false>(op, first, last);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(mix_rows);
namespace {

constexpr std::int64_t kGrain = 4096;
constexpr int kCorners = 8;

// weights[j] = product of 1 - f and f where indices[j] is present, else 0; z fastest.
void corner_weights(const std::array<float, 3>& f, const std::int32_t* indices, Trilinear mode, float* weights) {
  const float x[2] = {1 - f[0], f[0]}, y[2] = {1 - f[1], f[1]}, z[2] = {1 - f[2], f[2]};
  float sum = 0;
  for (int j = 0; j < kCorners; ++j) {
    weights[j] = indices[j] >= 0 ? x[j >> 2] * y[j >> 1 & 1] * z[j & 1] : 0.0f;
    sum += weights[j];
  }
  if (mode == Trilinear::kRaw) return;
  for (int j = 0; j < kCorners; ++j) weights[j] /= sum + 1e-8f;
}

// Keys of the 8 corners from (batch, low) on, z fastest; -1 outside of the layout's box.
std::array<std::int64_t, kCorners> corner_keys(const KeyLayout& layout, std::int64_t batch,
                                               const std::array<std::int64_t, 3>& low) {
  std::array<std::int64_t, kCorners> keys{};
  std::int64_t part[3][2];  // of a key
  bool inside[3][2];
  for (int axis = 0; axis < 3; ++axis)
    for (int side = 0; side < 2; ++side) {
      const std::int64_t c = low[static_cast<std::size_t>(axis)] + side;
      inside[axis][side] = c >= layout.lowest(axis + 1) && c <= layout.highest(axis + 1);
      part[axis][side] = inside[axis][side] ? (c - layout.lowest(axis + 1)) << layout.shift(axis + 1) : 0;
    }
  const bool has_batch = batch >= layout.lowest(0) && batch <= layout.highest(0);
  const std::int64_t cloud = has_batch ? (batch - layout.lowest(0)) << layout.shift(0) : 0;
  for (std::size_t j = 0; j < kCorners; ++j) {
    const std::size_t x = j >> 2, y = j >> 1 & 1, z = j & 1;
    const bool present = has_batch && inside[0][x] && inside[1][y] && inside[2][z];
    keys[j] = present ? cloud + part[0][x] + part[1][y] + part[2][z] : -1;
  }
  return keys;
}

// The corners of a point.
struct Corners {
  std::array<std::int64_t, kCorners> keys;
  std::array<float, 3> fraction;
};

// Around (batch, x, y, z) with x y z divided by stride.
Corners corners_at(const KeyLayout& layout, const float* p, const float* stride) {
  constexpr float kFurthest = 4294967296.0f;  // 2^32: no corner beyond it can be present
  std::array<std::int64_t, 3> low{};
  Corners corners{};
  bool inside = p[0] >= 0 && p[0] < kFurthest && p[0] == std::floor(p[0]);
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const float q = p[axis + 1] / stride[axis], below = std::floor(q);
    inside = inside && std::abs(below) < kFurthest;
    low[axis] = inside ? static_cast<std::int64_t>(below) : 0;
    corners.fraction[axis] = q - below;
  }
  if (inside) {
    corners.keys = corner_keys(layout, static_cast<std::int64_t>(p[0]), low);
  } else {
    corners.keys.fill(-1);
  }
  return corners;
}

// Row of `key`, -1 where it is not there, sought in steps that double from `near` on, which then takes the place of the
// first key not below it: rows that follow each other have parents that lie near each other.
std::int32_t find_near(const Level& level, std::int64_t key, std::int64_t& near) {
  const std::int64_t* const keys = level.keys;
  std::int64_t low = near, high = near, step = 1;
  if (near < level.count && keys[near] == key) return static_cast<std::int32_t>(near);
  if (near < level.count && keys[near] < key) {
    for (++low; low + step <= level.count && keys[low + step - 1] < key; step *= 2) low += step;
    high = std::min(low + step, level.count);
  } else {
    for (; high - step >= 0 && keys[high - step] >= key; step *= 2) high -= step;
    low = std::max<std::int64_t>(high - step, 0);
  }
  near = std::lower_bound(keys + low, keys + high, key) - keys;
  return near < level.count && keys[near] == key ? static_cast<std::int32_t>(near) : -1;
}

// corners[8 o + j] = row of the level at coordinate o plus (j >> 2, j >> 1 & 1, j & 1). For one (dx, dy) the sought
// keys ascend with o, so a cursor that only moves forward finds them; a key's spare bits keep them from meeting others.
const std::int32_t* neighbours(const Context& context, const Level& level) {
  auto* corners = context.arena->allocate<std::int32_t>(kCorners * level.count);
  const std::int64_t* const keys = level.keys;
  parallel_ranges(context, level.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (int column = 0; column < kCorners / 2; ++column) {
      const std::int64_t delta =
          (std::int64_t{column >> 1} << level.layout.shift(1)) + (std::int64_t{column & 1} << level.layout.shift(2));
      std::int64_t cursor = std::lower_bound(keys, keys + level.count, keys[first] + delta) - keys;
      for (std::int64_t o = first; o < last; ++o) {
        const std::int64_t sought = keys[o] + delta;
        while (cursor < level.count && keys[cursor] < sought) ++cursor;
        std::int32_t* pair = corners + kCorners * o + 2 * column;
        const bool here = cursor < level.count && keys[cursor] == sought;
        const std::int64_t above = cursor + here;
        pair[0] = here ? static_cast<std::int32_t>(cursor) : -1;
        pair[1] = above < level.count && keys[above] == sought + 1 ? static_cast<std::int32_t>(above) : -1;
      }
    }
  });
  return corners;
}

// floor(a / divisor); the usual powers of 2 cost no division.
class FloorDivision {
 public:
  explicit FloorDivision(std::int32_t divisor)
      : divisor_(divisor),
        shift_(std::has_single_bit(static_cast<std::uint32_t>(divisor))
                   ? std::countr_zero(static_cast<std::uint32_t>(divisor))
                   : -1) {}
  std::int32_t operator()(std::int32_t a) const {
    return shift_ >= 0 ? a >> shift_ : a / divisor_ - (a % divisor_ < 0);
  }

 private:
  std::int32_t divisor_;
  int shift_;
};

}  // namespace

void trilinear(const Context& context, const float* points, std::int64_t n, const float* stride,
               const KeyLayout& layout, const HashSlot* slots, std::int64_t capacity, Trilinear mode,
               std::int32_t* indices, float* weights) {
  parallel_ranges(context, n, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    std::array<std::int64_t, kCorners> found{};  // keys of the point before; points of a scan often share a cell
    for (std::int64_t i = first; i < last; ++i) {
      const Corners corners = corners_at(layout, points + 4 * i, stride);
      std::int32_t* const index = indices + kCorners * i;
      if (i > first && corners.keys == found) {
        std::copy_n(index - kCorners, kCorners, index);
      } else {
        std::transform(corners.keys.begin(), corners.keys.end(), index,
                       [&](std::int64_t key) { return key >= 0 ? find(slots, capacity, key) : -1; });
        found = corners.keys;
      }
      corner_weights(corners.fraction, index, mode, weights + kCorners * i);
    }
  });
}

void link(const Context& context, const Level& fine, const Level& coarse, const Window::Extents& stride,
          std::int32_t* parents, std::int32_t* indices, float* weights) {
  const Arena::Mark mark = context.arena->mark();
  const std::int32_t* const corners = indices ? neighbours(context, coarse) : nullptr;
  const std::array<FloorDivision, 3> cell_of{FloorDivision(stride[0]), FloorDivision(stride[1]),
                                             FloorDivision(stride[2])};
  parallel_ranges(context, fine.count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    std::int64_t near = coarse.count * first / fine.count;
    const auto row_of = [&](std::int64_t key) { return find_near(coarse, key, near); };
    Coordinate c{}, cell{};
    for (std::int64_t i = first; i < last; ++i) {
      fine.layout.unpack(fine.keys[i], c.data());
      cell[0] = c[0];
      for (std::size_t axis = 0; axis < 3; ++axis) cell[axis + 1] = cell_of[axis](c[axis + 1]);
      parents[i] = coarse.layout.contains(cell.data()) ? row_of(coarse.layout.pack(cell.data())) : -1;
      if (indices == nullptr) continue;
      std::int32_t* const index = indices + kCorners * i;
      if (parents[i] >= 0) {
        std::copy_n(corners + std::int64_t{kCorners} * parents[i], kCorners, index);
      } else {
        const auto keys = corner_keys(coarse.layout, cell[0], {cell[1], cell[2], cell[3]});
        std::transform(keys.begin(), keys.end(), index, [&](std::int64_t key) { return key >= 0 ? row_of(key) : -1; });
      }
      std::array<float, 3> fraction{};
      for (std::size_t axis = 0; axis < 3; ++axis)
        fraction[axis] = static_cast<float>(c[axis + 1] - std::int64_t{cell[axis + 1]} * stride[axis]) /
                         static_cast<float>(stride[axis]);
      corner_weights(fraction, index, Trilinear::kRenormalized, weights + kCorners * i);
    }
  });
  context.arena->rewind(mark);
}

void interpolate(const Context& context, const ConstRowView& in, const std::int32_t* indices, const float* weights,
                 std::int64_t k, const RowView& out) {
  choose_target();
  if (!all_are(DType::kF32, in, out)) {
    const NarrowMixture op{in, indices, weights, k, out, !any_is(DType::kI8, in, out)};
    return parallel_ranges(context, out.count, kGrain / 4, [&](std::int64_t first, std::int64_t last, std::int64_t) {
      mix_narrow_rows(op, first, last);
    });
  }
  const auto mix_rows = HWY_DYNAMIC_DISPATCH(mix_rows);
  const Interpolated op{in, indices, weights, k, out, writes_past_caches(out)};
  parallel_ranges(context, out.count, kGrain / 4,
                  [&](std::int64_t first, std::int64_t last, std::int64_t) { mix_rows(op, first, last); });
}

}  // namespace voxshift::cpu
#endif
