// Sums over rows, channel by channel, batch normalisation and its gradient on the CPU. A chunk of rows stays in the
// cache while its columns are summed in registers, a few vectors of them at a time.
#include <voxshift/kernels_cpu/batch_norm.h>
#include <voxshift/kernels_cpu/column_sums.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/batch_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/row_columns.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

struct SumChunk {
  const ConstRowView& in;
  float* sum;

  template <int kVectors>
  HWY_INLINE void run(std::int64_t column, std::int64_t count) const {
    FloatVector acc[kVectors];
    for (auto& a : acc) a = hn::Zero(Floats());
    for (std::int64_t i = 0; i < in.count; ++i) {
      const float* x = row_at(in, i, column);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[v] = hn::Add(acc[v], load_lanes(x + v * kLanes, count));
    }
    for (int v = 0; v < kVectors; ++v) store_lanes(acc[v], sum + column + v * kLanes, count);
  }
};

void sum_chunk(const ConstRowView& in, float* sum) { for_columns(in.channels, SumChunk{in, sum}); }

/// mean = sum / count, spread = sum of (x - mean)^2
struct MomentsChunk {
  const ConstRowView& in;
  float *mean, *spread;

  template <int kVectors>
  HWY_INLINE void run(std::int64_t column, std::int64_t count) const {
    const Floats d;
    SumChunk{in, mean}.run<kVectors>(column, count);
    const FloatVector over = hn::Set(d, 1.0f / static_cast<float>(in.count));
    FloatVector middle[kVectors], acc[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      middle[v] = hn::Mul(load_lanes(mean + column + v * kLanes, count), over);
      acc[v] = hn::Zero(d);
    }
    for (std::int64_t i = 0; i < in.count; ++i) {
      const float* x = row_at(in, i, column);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const FloatVector off = hn::Sub(load_lanes(x + v * kLanes, count), middle[v]);
        acc[v] = hn::MulAdd(off, off, acc[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store_lanes(middle[v], mean + column + v * kLanes, count);
      store_lanes(acc[v], spread + column + v * kLanes, count);
    }
  }
};

void moments_chunk(const ConstRowView& in, float* mean, float* spread) {
  for_columns(in.channels, MomentsChunk{in, mean, spread});
}

/// out = act((x - mean) scale + bias + residual) for rows [first, last)
template <Activation::Kind kKind>
struct NormalizeRows {
  const ConstRowView& in;
  const float *mean, *scale;
  const BatchNormLayer& layer;
  const ConstRowView& residual;
  std::int64_t first, last;
  RowWriter out;

  template <int kVectors>
  HWY_INLINE void run(std::int64_t column, std::int64_t count) const {
    const Floats d;
    const FloatVector slope = hn::Set(d, layer.activation.slope);
    FloatVector m[kVectors], s[kVectors], b[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      m[v] = load_lanes(mean + column + v * kLanes, count);
      s[v] = load_lanes(scale + column + v * kLanes, count);
      b[v] = load_lanes(layer.bias + column + v * kLanes, count);
    }
    for (std::int64_t i = first; i < last; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t c = column + v * kLanes;
        FloatVector y = hn::MulAdd(hn::Sub(load_lanes(row_at(in, i, c), count), m[v]), s[v], b[v]);
        if (residual.base) y = hn::Add(y, load_lanes(row_at(residual, i, c), count));
        out(activate<kKind>(y, slope), i, c, count);
      }
    }
  }
};

struct NormalizeRowsOf {
  const ConstRowView& in;
  const float *mean, *scale;
  const BatchNormLayer& layer;
  const ConstRowView& residual;
  std::int64_t first, last;
  const RowView& out;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    for_columns(in.channels, NormalizeRows<kKind>{in, mean, scale, layer, residual, first, last, RowWriter(out)});
  }
};

void normalize_rows(const ConstRowView& in, const float* mean, const float* scale, const BatchNormLayer& layer,
                    const ConstRowView& residual, std::int64_t first, std::int64_t last, const RowView& out) {
  with_activation(layer.activation.kind, NormalizeRowsOf{in, mean, scale, layer, residual, first, last, out});
  hwy::FlushStream();
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sum_chunk);
HWY_EXPORT(moments_chunk);
HWY_EXPORT(normalize_rows);
namespace {

// Chan et al. (1979): means and squared deviations of two samples give those of both.
void moments(const Context& context, const ConstRowView& in, float* mean, float* variance) {
  const Arena::Mark mark = context.arena->mark();
  const auto moments_chunk = HWY_DYNAMIC_DISPATCH(moments_chunk);
  const PartialSums chunks(context, in.count, in.channels,
                           [&](std::int64_t first, std::int64_t last, float* middle, float* spread) {
                             moments_chunk(in.rows(first, last - first), middle, spread);
                           });
  for (std::int64_t c = 0; c < in.channels; ++c) {
    double n = 0, middle = 0, spread = 0;
    for (std::int64_t chunk = 0; chunk < chunks.chunks(); ++chunk) {
      const auto more = static_cast<double>(std::min(kChunkRows, in.count - chunk * kChunkRows));
      const double apart = chunks.first(chunk, c) - middle;
      spread += chunks.second(chunk, c) + apart * apart * n * more / (n + more);
      n += more;
      middle += apart * more / n;
    }
    mean[c] = static_cast<float>(middle);
    variance[c] = static_cast<float>(n > 0 ? spread / n : 0);
  }
  context.arena->rewind(mark);
}

}  // namespace

void sum_rows(const Context& context, const ConstRowView& in, float* out) {
  const Arena::Mark mark = context.arena->mark();
  const auto sum_chunk = HWY_DYNAMIC_DISPATCH(sum_chunk);
  const PartialSums sums(
      context, in.count, in.channels,
      [&](std::int64_t first, std::int64_t last, float* sum, float*) { sum_chunk(in.rows(first, last - first), sum); });
  for (std::int64_t c = 0; c < in.channels; ++c) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < sums.chunks(); ++chunk) sum += sums.first(chunk, c);
    out[c] = static_cast<float>(sum);
  }
  context.arena->rewind(mark);
}

void batch_norm(const Context& context, const ConstRowView& in, const BatchNormLayer& layer,
                const ConstRowView& residual, const RowView& out, float* mean, float* variance) {
  const Arena::Mark mark = context.arena->mark();
  moments(context, in, mean, variance);
  auto* scale = context.arena->allocate<float>(in.channels);
  scales(layer, variance, in.channels, scale);
  const auto normalize_rows = HWY_DYNAMIC_DISPATCH(normalize_rows);
  parallel_ranges(context, in.count, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    normalize_rows(in, mean, scale, layer, residual, first, last, out);
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
