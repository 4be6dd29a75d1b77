#include <voxshift/kernels_cuda/batch_norm.h>
#include <voxshift/kernels_cuda/column_sums.h>
#include <voxshift/kernels_cuda/rows.h>

namespace voxshift::cuda {
namespace {

// Per channel: the factor weight / sqrt(variance + eps).
__device__ inline float scale_of(const float* weight, const float* variance, float eps, std::int64_t c) {
  return weight[c] / sqrtf(variance[c] + eps);
}

/// grad * act'(.) where act gave y
__device__ inline float before_activation(float grad, float y, Activation activation) {
  switch (activation.kind) {
    case Activation::Kind::kRelu:
      return y > 0 ? grad : 0.0f;
    case Activation::Kind::kRelu6:
      return y > 0 && y < 6 ? grad : 0.0f;
    case Activation::Kind::kLeakyRelu:
      return y > 0 ? grad : grad * activation.slope;
    default:
      return grad;
  }
}

/// What the gradient reads of one element.
template <class T>
struct Inner {
  Rows<const T> in, out, grad;
  const float *mean, *variance, *weight, *bias;
  float eps;
  Activation activation;

  __device__ float off(std::int64_t i, std::int64_t c) const { return in.at(i, c) - mean[c]; }
  /// The gradient before the activation, whose argument the bias tells, or else its value `out`.
  __device__ float gradient(std::int64_t i, std::int64_t c) const {
    if (activation.kind == Activation::Kind::kNone) return grad.at(i, c);
    const float y = bias != nullptr ? fmaf(off(i, c), scale_of(weight, variance, eps, c), bias[c]) : out.at(i, c);
    return before_activation(grad.at(i, c), y, activation);
  }
};

template <class T>
void sum_all_rows(const Queue& queue, Rows<const T> x, float* out) {
  column_sums(
      queue, x.count, x.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        return Two{x.at(i, c), 0};
      },
      [=] __device__(std::int64_t c, Two sum) { out[c] = static_cast<float>(sum.first); });
}

template <class T>
void normalize(const Queue& queue, Rows<const T> x, const BatchNormLayer& layer, Rows<const T> other, Rows<T> y,
               float* mean, float* variance) {
  const auto n = static_cast<double>(x.count > 0 ? x.count : 1);
  column_sums(
      queue, x.count, x.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        return Two{x.at(i, c), 0};
      },
      [=] __device__(std::int64_t c, Two sum) { mean[c] = static_cast<float>(sum.first / n); });
  column_sums(
      queue, x.count, x.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        const double off = double{x.at(i, c)} - mean[c];
        return Two{off * off, off};
      },
      // The mean was rounded: the variance is about the true one.
      [=] __device__(std::int64_t c, Two sum) {
        variance[c] = static_cast<float>((sum.first - sum.second * sum.second / n) / n);
      });
  for_each_cell(queue, y.count, y.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float value = fmaf(x.at(i, c) - mean[c], scale_of(layer.weight, variance, layer.eps, c), layer.bias[c]);
    if (other.base != nullptr) value += other.at(i, c);
    y.set(i, c, activate(value, layer.activation.kind, layer.activation.slope));
  });
}

template <class T>
void share_normalized(const Queue& queue, const Inner<T>& inner, Rows<T> to, Rows<T> residual, float* grad_weight,
                      float* grad_bias) {
  const auto n = static_cast<float>(inner.in.count > 0 ? inner.in.count : 1);
  column_sums(
      queue, inner.in.count, inner.in.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        const float g = inner.gradient(i, c);
        return Two{g, double{g} * inner.off(i, c)};
      },
      [=] __device__(std::int64_t c, Two sum) {
        grad_bias[c] = static_cast<float>(sum.first);
        grad_weight[c] = static_cast<float>(sum.second / sqrt(double{inner.variance[c]} + inner.eps));
      });
  for_each_cell(queue, to.count, to.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const float g = inner.gradient(i, c), deviation = sqrtf(inner.variance[c] + inner.eps);
    const float normalized = inner.off(i, c) / deviation;
    if (residual.base != nullptr) residual.set(i, c, g);
    to.set(i, c, inner.weight[c] / deviation * (g - grad_bias[c] / n - normalized * (grad_weight[c] / n)));
  });
}

}  // namespace

void sum_rows(const Queue& queue, const ConstRowView& in, float* out) {
  with_real_type("sum_rows", in.dtype, [&](auto type) { sum_all_rows(queue, rows<decltype(type)>(in), out); });
}

void batch_norm(const Queue& queue, const ConstRowView& in, const BatchNormLayer& layer, const ConstRowView& residual,
                const RowView& out, float* mean, float* variance) {
  with_real_type("batch_norm", in.dtype, [&](auto type) {
    using T = decltype(type);
    normalize(queue, rows<T>(in), layer, rows<T>(residual), rows<T>(out), mean, variance);
  });
}

void batch_norm_backward(const Queue& queue, const BatchNormBackward& backward, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias) {
  const BatchNormLayer& layer = backward.layer;
  with_real_type("batch_norm_backward", grad_in.dtype, [&](auto type) {
    using T = decltype(type);
    const Inner<T> inner{rows<T>(backward.in),
                         rows<T>(backward.out),
                         rows<T>(backward.grad),
                         backward.mean,
                         backward.variance,
                         layer.weight,
                         layer.bias,
                         layer.eps,
                         layer.activation};
    share_normalized(queue, inner, rows<T>(grad_in), rows<T>(grad_residual), grad_weight, grad_bias);
  });
}

}  // namespace voxshift::cuda
