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
struct Inner {
  Rows<const float> in, out, grad;
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

}  // namespace

void sum_rows(const Queue& queue, const ConstRowView& in, float* out) {
  const Rows<const float> x = rows<float>(in);
  column_sums(
      queue, in.count, in.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        return Two{x.at(i, c), 0};
      },
      [=] __device__(std::int64_t c, Two sum) { out[c] = static_cast<float>(sum.first); });
}

void batch_norm(const Queue& queue, const ConstRowView& in, const BatchNormLayer& layer, const ConstRowView& residual,
                const RowView& out, float* mean, float* variance) {
  const Rows<const float> x = rows<float>(in), other = rows<float>(residual);
  const Rows<float> y = rows<float>(out);
  const auto n = static_cast<double>(in.count > 0 ? in.count : 1);
  column_sums(
      queue, in.count, in.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        return Two{x.at(i, c), 0};
      },
      [=] __device__(std::int64_t c, Two sum) { mean[c] = static_cast<float>(sum.first / n); });
  column_sums(
      queue, in.count, in.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        const double off = double{x.at(i, c)} - mean[c];
        return Two{off * off, off};
      },
      // The mean was rounded: the variance is about the true one.
      [=] __device__(std::int64_t c, Two sum) {
        variance[c] = static_cast<float>((sum.first - sum.second * sum.second / n) / n);
      });
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float value = fmaf(x.at(i, c) - mean[c], scale_of(layer.weight, variance, layer.eps, c), layer.bias[c]);
    if (other.base != nullptr) value += other.at(i, c);
    y.set(i, c, activate(value, layer.activation.kind, layer.activation.slope));
  });
}

void batch_norm_backward(const Queue& queue, const BatchNormBackward& backward, const RowView& grad_in,
                         const RowView& grad_residual, float* grad_weight, float* grad_bias) {
  const BatchNormLayer& layer = backward.layer;
  const Inner inner{rows<float>(backward.in),
                    rows<float>(backward.out),
                    rows<float>(backward.grad),
                    backward.mean,
                    backward.variance,
                    layer.weight,
                    layer.bias,
                    layer.eps,
                    layer.activation};
  const auto n = static_cast<float>(backward.in.count > 0 ? backward.in.count : 1);
  column_sums(
      queue, backward.in.count, backward.in.channels,
      [=] __device__(std::int64_t i, std::int64_t c) {
        const float g = inner.gradient(i, c);
        return Two{g, double{g} * inner.off(i, c)};
      },
      [=] __device__(std::int64_t c, Two sum) {
        grad_bias[c] = static_cast<float>(sum.first);
        grad_weight[c] = static_cast<float>(sum.second / sqrt(double{inner.variance[c]} + inner.eps));
      });
  const Rows<float> to = rows<float>(grad_in), residual = rows<float>(grad_residual);
  for_each_cell(queue, grad_in.count, grad_in.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const float g = inner.gradient(i, c), deviation = sqrtf(inner.variance[c] + inner.eps);
    const float normalized = inner.off(i, c) / deviation;
    if (residual.base != nullptr) residual.set(i, c, g);
    to.set(i, c, inner.weight[c] / deviation * (g - grad_bias[c] / n - normalized * (grad_weight[c] / n)));
  });
}

}  // namespace voxshift::cuda
