// Contract of ops that know rows only.
#pragma once

#include <voxshift/tensor/elementwise.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/runtime.h>

#include <memory>

namespace voxshift {

/// Batch normalisation in training mode. weight, bias [channels].
struct BatchNormLayer {
  const float *weight, *bias;
  float eps;
  Activation activation;
};

/// What the gradient of batch_norm() reads: the operands and results of the forward op, and the gradient of `out`.
/// The activation's derivative is that at the argument the layer's bias gives or, where that is null, at `out`.
struct BatchNormBackward {
  BatchNormLayer layer;
  ConstRowView in, out, grad;
  const float *mean, *variance;
};

/// Kernels on rows of features. All views of a call have the same count unless said otherwise. Features are f32, in the
/// ops of inference, linear() to spread_scores(), also f16, bf16 and i8; in weight_gradient() to
/// batch_norm_backward() they are f32 or, on CUDA, f16 or bf16, all views of a call the same, and sums and what belongs
/// to a channel or a weight are f32. Elsewhere each view has a dtype of its own: numbers are read as f32, i8 ones as n
/// * scale, and rounded to nearest when they are written, once. What is copied from one view to another of the same
/// dtype and scales keeps its bytes, with or without scales. Where a view is i8, every product and every sum is
/// rounded, none is fused with another, in the order that is written here: the same bits on all devices. Functions that
/// use exp, tanh or erf have the accuracy of the device's library.
class RowKernels {
 public:
  virtual ~RowKernels() = default;

  /// Packs weight f32 [in_channels, out_channels] (device memory, row-major) for features of `dtype`.
  virtual std::shared_ptr<const PackedWeights> pack(const Context&, const float* weight, std::int64_t in_channels,
                                                    std::int64_t out_channels, DType dtype) const = 0;

  /// Packs weights [in_channels, out_channels] (device memory) for features of i8.
  virtual std::shared_ptr<const PackedWeights> pack_i8(const Context&, const QuantizedWeights& weights,
                                                       std::int64_t in_channels, std::int64_t out_channels) const = 0;

  /// Packs W for features of `dtype`, on the CPU f32, from its transpose f32 [out_channels, in_channels].
  virtual std::shared_ptr<const PackedWeights> pack_transposed(const Context&, const float* weight,
                                                               std::int64_t in_channels, std::int64_t out_channels,
                                                               DType dtype) const = 0;

  /// out[i] = act(in[i] W + bias + residual[i]), summed over input channels in order.
  virtual void linear(const Context&, const ConstRowView& in, const PackedWeights&, const Epilogue&,
                      const RowView& out) const = 0;

  /// out[i, c] = act(in[i, c] * scale[c] + shift[c] + residual[i, c]); a null scale is 1, a null shift or residual.base
  /// is 0. in or residual may be out.
  virtual void affine(const Context&, const ConstRowView& in, const float* scale, const float* shift,
                      const ConstRowView& residual, Activation, const RowView& out) const = 0;

  /// out[i, c] = f(in[i, c]). in may be out.
  virtual void apply(const Context&, const Elementwise& f, const ConstRowView& in, const RowView& out) const = 0;

  /// out[i] = f(in[i]), row by row. in may be out.
  virtual void apply(const Context&, const RowFunction& f, const ConstRowView& in, const RowView& out) const = 0;

  /// out[i, c] = a[i, c] * b[i, c]. a or b may be out.
  virtual void multiply(const Context&, const ConstRowView& a, const ConstRowView& b, const RowView& out) const = 0;

  /// out[i, d] = sum of in[i, c] * matrices[picked[i], c * D + d] over c in order, D = out.channels; a matrix -1 gives
  /// zeros.
  virtual void matmul_picked(const Context&, const ConstRowView& in, const ConstRowView& matrices,
                             const std::int32_t* picked, const RowView& out) const = 0;

  /// labels[i] = lowest c that maximises in[i, c].
  virtual void argmax(const Context&, const ConstRowView& in, std::uint8_t* labels) const = 0;

  /// out[i] = in[rows[i]] for the count of `out`; -1 gives zeros.
  virtual void gather(const Context&, const ConstRowView& in, const std::int32_t* rows, const RowView& out) const = 0;

  /// out[i] = values[picked[i]] for i of [0, n), each `width` numbers.
  virtual void pick(const Context&, const std::int32_t* values, std::int64_t width, const std::int32_t* picked,
                    std::int64_t n, std::int32_t* out) const = 0;

  /// rows = the i of [0, n) with mask[i] != 0, ascending; returns their number. `rows` has room for n.
  virtual std::int64_t list(const Context&, const std::uint8_t* mask, std::int64_t n, std::int32_t* rows) const = 0;

  /// mask[i] = whether in[i, 0] > threshold.
  virtual void above(const Context&, const ConstRowView& in, float threshold, std::uint8_t* mask) const = 0;

  /// mask[i] = whether in[i, 0] is one of the `count` highest of its segment: of equal ones the first rows, of NaN none
  /// before another number. segment [in.count] ascends.
  virtual void top(const Context&, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
                   std::uint8_t* mask) const = 0;

  /// out[places[i]] = values[i] for i of [0, n); the rest of `out` stays.
  virtual void place(const Context&, const std::int32_t* values, const std::int32_t* places, std::int64_t n,
                     std::int32_t* out) const = 0;

  /// out[i] = i / each for i of [0, n).
  virtual void number(const Context&, std::int64_t n, std::int64_t each, std::int32_t* out) const = 0;

  /// out[i] = b for i of [splits[b], splits[b + 1]); splits [clouds + 1] are host memory.
  virtual void number_clouds(const Context&, const std::int64_t* splits, std::int64_t clouds,
                             std::int32_t* out) const = 0;

  /// out[places[i]] = labels[picked[i]] for i of [0, n), picked null: i; the rest of `out` stays.
  virtual void spread_labels(const Context&, const std::uint8_t* labels, const std::int32_t* picked,
                             const std::int32_t* places, std::int64_t n, std::uint8_t* out) const = 0;

  /// out[places[i]] = softmax of logits[picked[i]] for i of [0, n), picked null: i; out f32 [.., logits.channels].
  virtual void spread_scores(const Context&, const ConstRowView& logits, const std::int32_t* picked,
                             const std::int32_t* places, std::int64_t n, float* out) const = 0;

  /// out[i, o] = sum over rows r of in[r, i] * grad[r, o]: the gradient of linear()'s weight.
  virtual void weight_gradient(const Context&, const ConstRowView& in, const ConstRowView& grad, float* out) const = 0;

  /// out[c] = sum over rows of in[.., c]: the gradient of a bias.
  virtual void sum_rows(const Context&, const ConstRowView& in, float* out) const = 0;

  /// mean, variance [channels] of `in` over all rows, the variance biased, 0 without rows; and
  /// out = act(weight * (in - mean) / sqrt(variance + eps) + bias + residual).
  virtual void batch_norm(const Context&, const ConstRowView& in, const BatchNormLayer&, const ConstRowView& residual,
                          const RowView& out, float* mean, float* variance) const = 0;

  /// With g = grad * act'(.): grad_bias = sum of g, grad_weight = sum of g x^, x^ = (in - mean) / sqrt(variance + eps),
  /// grad_residual = g where its base is not null, and
  /// grad_in = weight / sqrt(variance + eps) * (g - mean of g - x^ * mean of (g x^)).
  virtual void batch_norm_backward(const Context&, const BatchNormBackward&, const RowView& grad_in,
                                   const RowView& grad_residual, float* grad_weight, float* grad_bias) const = 0;
};

namespace cpu {
const RowKernels& row_kernels();
}
namespace cuda {
const RowKernels& row_kernels();
}

inline const RowKernels& row_kernels(Device device) {
  return on<RowKernels>(device, cpu::row_kernels, cuda::row_kernels);
}

}  // namespace voxshift
