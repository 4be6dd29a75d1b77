// The gradient of batch normalisation on the CPU: one pass over the rows for the sums, one for the gradients.
#include <voxshift/kernels_cpu/batch_norm.h>
#include <voxshift/kernels_cpu/column_sums.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/targets.h>

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/batch_norm_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/row_columns.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

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

/// In the lanes of one vector of one row: x - mean, and the gradient before the activation.
struct InnerGradient {
  FloatVector off, g;
};

/// With the bias at hand the activation's argument is computed again, as the forward op did: `out` need not be read.
template <Activation::Kind kKind>
HWY_INLINE InnerGradient inner_gradient(const BatchNormBackward& norm, const NormColumns& columns, std::int64_t i,
                                        std::int64_t column, std::int64_t count, FloatVector slope) {
  const FloatVector off = hn::Sub(load_lanes(row_at(norm.in, i, column), count), columns.mean);
  const FloatVector grad = load_lanes(row_at(norm.grad, i, column), count);
  if constexpr (kKind == Activation::Kind::kNone) return {off, grad};
  const FloatVector y =
      norm.layer.bias ? hn::MulAdd(off, columns.scale, columns.bias) : load_lanes(row_at(norm.out, i, column), count);
  return {off, before_activation<kKind>(grad, y, slope)};
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
        const auto [off, g] = inner_gradient<kKind>(norm, columns[v], i, c, count, slope);
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
        const auto [off, g] = inner_gradient<kKind>(norm, columns[v], i, at, count, slope);
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
HWY_EXPORT(backward_sums);
HWY_EXPORT(backward_rows);

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
  parallel_ranges(context, rows, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    backward_rows(norm, scale, shift, slant, first, last, grad_in, grad_residual);
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
#endif
