// Sums over rows, channel by channel, batch normalisation and its gradient on the CPU. A chunk of rows stays in the
// cache while its columns are summed in registers, a few vectors of them at a time.
#include <voxshift/kernels_cpu/batch_norm.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/batch_norm.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

constexpr int kGroup = 4;  // vectors of columns whose sums are in registers at a time

/// Calls body.template run<V>(column, count) for groups of V vectors that cover [0, channels); the last vector of a
/// group of one has `count` lanes.
template <class Body>
HWY_INLINE void for_columns(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + kGroup * kLanes <= channels; c += kGroup * kLanes) body.template run<kGroup>(c, kLanes);
  for (; c < channels; c += kLanes) body.template run<1>(c, std::min<std::int64_t>(kLanes, channels - c));
}

HWY_INLINE FloatVector load_lanes(const float* p, std::int64_t count) {
  return count == kLanes ? hn::LoadU(Floats(), p) : load_some(p, count);
}

HWY_INLINE void store_lanes(FloatVector x, float* p, std::int64_t count) {
  if (count == kLanes) {
    hn::StoreU(x, Floats(), p);
  } else {
    store_some(x, p, count);
  }
}

/// Stores to rows that are written once, one after the other. Where they are more than a cache holds, past it: else
/// every line would be read before it is written.
class RowWriter {
 public:
  explicit RowWriter(const RowView& to)
      : base_(static_cast<float*>(to.base)),
        stride_(to.row_stride),
        past_cache_(to.count * to.channels * static_cast<std::int64_t>(sizeof(float)) >= kLarge &&
                    to.row_stride % kLanes == 0 &&
                    reinterpret_cast<std::uintptr_t>(to.base) % sizeof(FloatVector) == 0) {}

  HWY_INLINE void operator()(FloatVector x, std::int64_t i, std::int64_t column, std::int64_t count) const {
    float* const p = base_ + i * stride_ + column;
    if (past_cache_ && count == kLanes) {
      hn::Stream(x, Floats(), p);
    } else {
      store_lanes(x, p, count);
    }
  }

 private:
  static constexpr std::int64_t kLarge = 4 << 20;  // bytes

  float* base_;
  std::int64_t stride_;
  bool past_cache_;
};

HWY_INLINE const float* row_at(const ConstRowView& view, std::int64_t i, std::int64_t column) {
  return static_cast<const float*>(view.base) + i * view.row_stride + column;
}

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

/// grad * act'(.) where act gave y
template <Activation::Kind kKind>
HWY_INLINE FloatVector before_activation(FloatVector grad, FloatVector y, FloatVector slope) {
  const Floats d;
  const auto positive = hn::Gt(y, hn::Zero(d));
  if constexpr (kKind == Activation::Kind::kRelu) return hn::IfThenElseZero(positive, grad);
  if constexpr (kKind == Activation::Kind::kRelu6)
    return hn::IfThenElseZero(hn::And(positive, hn::Lt(y, hn::Set(d, 6.0f))), grad);
  if constexpr (kKind == Activation::Kind::kLeakyRelu) return hn::IfThenElse(positive, grad, hn::Mul(grad, slope));
  return grad;
}

/// One vector of columns of the layer: what it did to them, to tell the activation's argument from x.
struct NormColumns {
  FloatVector mean, scale, bias;

  HWY_INLINE NormColumns() = default;
  HWY_INLINE NormColumns(const BatchNormBackward& norm, const float* factor, std::int64_t column, std::int64_t count)
      : mean(load_lanes(norm.mean + column, count)),
        scale(load_lanes(factor + column, count)),
        bias(norm.layer.bias ? load_lanes(norm.layer.bias + column, count) : hn::Zero(Floats())) {}
};

/// The gradient before the activation, in the lanes of one vector of one row; off = x - mean. With the bias at hand the
/// activation's argument is computed again, as the forward op did: `out` need not be read.
template <Activation::Kind kKind>
HWY_INLINE FloatVector inner_gradient(const BatchNormBackward& norm, const NormColumns& columns, FloatVector off,
                                      std::int64_t i, std::int64_t column, std::int64_t count, FloatVector slope) {
  const FloatVector grad = load_lanes(row_at(norm.grad, i, column), count);
  if constexpr (kKind == Activation::Kind::kNone) return grad;
  const FloatVector y =
      norm.layer.bias ? hn::MulAdd(off, columns.scale, columns.bias) : load_lanes(row_at(norm.out, i, column), count);
  return before_activation<kKind>(grad, y, slope);
}

/// sum = sum of g, product = sum of g (x - mean), over rows [first, last)
template <Activation::Kind kKind>
struct BackwardSums {
  const BatchNormBackward& norm;
  const float* scale;
  std::int64_t first, last;
  float *sum, *product;

  template <int kVectors>
  HWY_INLINE void run(std::int64_t column, std::int64_t count) const {
    const Floats d;
    const FloatVector slope = hn::Set(d, norm.layer.activation.slope);
    NormColumns columns[kVectors];
    FloatVector sums[kVectors], products[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = NormColumns(norm, scale, column + v * kLanes, count);
      sums[v] = products[v] = hn::Zero(d);
    }
    for (std::int64_t i = first; i < last; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t c = column + v * kLanes;
        const FloatVector off = hn::Sub(load_lanes(row_at(norm.in, i, c), count), columns[v].mean);
        const FloatVector g = inner_gradient<kKind>(norm, columns[v], off, i, c, count, slope);
        sums[v] = hn::Add(sums[v], g);
        products[v] = hn::MulAdd(g, off, products[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store_lanes(sums[v], sum + column + v * kLanes, count);
      store_lanes(products[v], product + column + v * kLanes, count);
    }
  }
};

/// grad_in = scale (g - shift - (x - mean) slant), grad_residual = g, for rows [first, last)
template <Activation::Kind kKind>
struct BackwardRows {
  const BatchNormBackward& norm;
  const float *scale, *shift, *slant;
  std::int64_t first, last;
  RowWriter grad_in, grad_residual;
  bool with_residual;

  template <int kVectors>
  HWY_INLINE void run(std::int64_t column, std::int64_t count) const {
    const Floats d;
    const FloatVector slope = hn::Set(d, norm.layer.activation.slope);
    NormColumns columns[kVectors];
    FloatVector b[kVectors], c[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = NormColumns(norm, scale, column + v * kLanes, count);
      b[v] = load_lanes(shift + column + v * kLanes, count);
      c[v] = load_lanes(slant + column + v * kLanes, count);
    }
    for (std::int64_t i = first; i < last; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t at = column + v * kLanes;
        const FloatVector off = hn::Sub(load_lanes(row_at(norm.in, i, at), count), columns[v].mean);
        const FloatVector g = inner_gradient<kKind>(norm, columns[v], off, i, at, count, slope);
        if (with_residual) grad_residual(g, i, at, count);
        grad_in(hn::Mul(columns[v].scale, hn::NegMulAdd(off, c[v], hn::Sub(g, b[v]))), i, at, count);
      }
    }
  }
};

struct BackwardSumsOf {
  const BatchNormBackward& norm;
  const float* scale;
  std::int64_t first, last;
  float *sum, *product;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    for_columns(norm.in.channels, BackwardSums<kKind>{norm, scale, first, last, sum, product});
  }
};

void backward_sums(const BatchNormBackward& norm, const float* scale, std::int64_t first, std::int64_t last, float* sum,
                   float* product) {
  with_activation(norm.layer.activation.kind, BackwardSumsOf{norm, scale, first, last, sum, product});
}

struct BackwardRowsOf {
  const BatchNormBackward& norm;
  const float *scale, *shift, *slant;
  std::int64_t first, last;
  const RowView &grad_in, &grad_residual;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    for_columns(norm.in.channels, BackwardRows<kKind>{norm, scale, shift, slant, first, last, RowWriter(grad_in),
                                                      RowWriter(grad_residual), grad_residual.base != nullptr});
  }
};

void backward_rows(const BatchNormBackward& norm, const float* scale, const float* shift, const float* slant,
                   std::int64_t first, std::int64_t last, const RowView& grad_in, const RowView& grad_residual) {
  with_activation(norm.layer.activation.kind,
                  BackwardRowsOf{norm, scale, shift, slant, first, last, grad_in, grad_residual});
  hwy::FlushStream();
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sum_chunk);
HWY_EXPORT(moments_chunk);
HWY_EXPORT(normalize_rows);
HWY_EXPORT(backward_sums);
HWY_EXPORT(backward_rows);
namespace {

constexpr std::int64_t kChunkRows = 512;

std::int64_t chunks_of(std::int64_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }

// Two partial sums of every channel and chunk, filled by body(first, last, a, b) for the chunk of rows [first, last).
class PartialSums {
 public:
  template <class Body>
  PartialSums(const Context& context, std::int64_t rows, std::int64_t channels, const Body& body)
      : channels_(channels), chunks_(chunks_of(rows)), sums_(context.arena->allocate<float>(2 * chunks_ * channels)) {
    parallel_ranges(context.threads, rows, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t chunk) {
      body(first, last, sums_ + 2 * chunk * channels_, sums_ + (2 * chunk + 1) * channels_);
    });
  }

  std::int64_t chunks() const { return chunks_; }
  double first(std::int64_t chunk, std::int64_t channel) const { return sums_[2 * chunk * channels_ + channel]; }
  double second(std::int64_t chunk, std::int64_t channel) const { return sums_[(2 * chunk + 1) * channels_ + channel]; }

 private:
  std::int64_t channels_, chunks_;
  float* sums_;
};

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

// weight / sqrt(variance + eps)
void scales(const BatchNormLayer& layer, const float* variance, std::int64_t channels, float* scale) {
  for (std::int64_t c = 0; c < channels; ++c)
    scale[c] = static_cast<float>(layer.weight[c] / std::sqrt(static_cast<double>(variance[c]) + layer.eps));
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
  parallel_ranges(context.threads, in.count, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    normalize_rows(in, mean, scale, layer, residual, first, last, out);
  });
  context.arena->rewind(mark);
}

void batch_norm_backward(const Context& context, const BatchNormBackward& norm, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias) {
  const std::int64_t rows = norm.in.count, channels = norm.in.channels;
  const Arena::Mark mark = context.arena->mark();
  const auto backward_sums = HWY_DYNAMIC_DISPATCH(backward_sums);
  const auto backward_rows = HWY_DYNAMIC_DISPATCH(backward_rows);
  auto* scale = context.arena->allocate<float>(3 * channels);
  float *shift = scale + channels, *slant = shift + channels;
  scales(norm.layer, norm.variance, channels, scale);
  const PartialSums sums(context, rows, channels,
                         [&](std::int64_t first, std::int64_t last, float* sum, float* product) {
                           backward_sums(norm, scale, first, last, sum, product);
                         });
  const auto n = static_cast<double>(rows);
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, product = 0;
    for (std::int64_t chunk = 0; chunk < sums.chunks(); ++chunk) {
      sum += sums.first(chunk, c);
      product += sums.second(chunk, c);
    }
    const double inverse = 1 / std::sqrt(static_cast<double>(norm.variance[c]) + norm.layer.eps);
    grad_bias[c] = static_cast<float>(sum);
    grad_weight[c] = static_cast<float>(product * inverse);
    shift[c] = static_cast<float>(rows > 0 ? sum / n : 0);
    slant[c] = static_cast<float>(rows > 0 ? product * inverse * inverse / n : 0);
  }
  parallel_ranges(context.threads, rows, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    backward_rows(norm, scale, shift, slant, first, last, grad_in, grad_residual);
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
