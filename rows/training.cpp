#include <voxshift/rows/kernels.h>
#include <voxshift/rows/training.h>
#include <voxshift/tensor/features.h>

namespace voxshift {
namespace {

void check_features(const char* op, const Array& x) {
  check(is_real(x.dtype()) && x.rank() == 2, "[", op, "] x expects f32 [N, C], f16 or bf16, found ", name(x.dtype()),
        " ", x.shape());
  check_gradients(op, x.dtype(), x.device());
}

// `what` has this shape and dtype, and lies where x does.
void check_like(const char* op, const char* what, const Array& values, const Shape& shape, const Array& x,
                DType dtype = DType::kF32) {
  check(values.dtype() == dtype && values.shape() == shape, "[", op, "] ", what, " expects ", name(dtype), " ", shape,
        ", found ", name(values.dtype()), " ", values.shape());
  check(values.device() == x.device(), "[", op, "] ", what, " is on ", name(values.device()), ", x is on ",
        name(x.device()));
}

}  // namespace

LinearGradients linear_backward(const Array& x, const Array& weight, const Array& grad, WantedGradients wanted) {
  check_features("linear_backward", x);
  check_like("linear_backward", "weight", weight, {x.dim(1), weight.dim(1)}, x);
  check_weight_channels("linear_backward", weight.dim(0), weight.dim(1));
  check(x.dim(0) <= INT32_MAX, "[linear_backward] x expects at most 2^31 - 1 rows, found ", x.dim(0));
  check_like("linear_backward", "grad", grad, {x.dim(0), weight.dim(1)}, x, x.dtype());
  const auto& kernels = row_kernels(x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  LinearGradients gradients;
  if (wanted.input) {
    gradients.input.emplace(x.shape(), x.dtype(), x.device());
    const auto packed = kernels.pack_transposed(context, weight.data<float>(), weight.dim(1), weight.dim(0), x.dtype());
    kernels.linear(context, rows_of(grad), *packed, {}, rows_of(*gradients.input));
  }
  if (wanted.weight) {
    gradients.weight.emplace(weight.shape(), DType::kF32, x.device());
    kernels.weight_gradient(context, rows_of(x), rows_of(grad), gradients.weight->data<float>());
  }
  return gradients;
}

Array sum_rows(const Array& x) {
  check_features("sum_rows", x);
  Array out({x.dim(1)}, DType::kF32, x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  row_kernels(x.device()).sum_rows(context, rows_of(x), out.data<float>());
  return out;
}

BatchNorm batch_norm(const Array& x, const Array& weight, const Array& bias, const BatchNormOptions& options) {
  check_features("batch_norm", x);
  const std::int64_t channels = x.dim(1);
  check_like("batch_norm", "weight", weight, {channels}, x);
  check_like("batch_norm", "bias", bias, {channels}, x);
  check(options.eps > 0, "[batch_norm] eps must be above 0, found ", options.eps);
  ConstRowView residual;
  if (options.residual) {
    check_like("batch_norm", "residual", *options.residual, x.shape(), x, x.dtype());
    residual = rows_of(*options.residual);
  }
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  BatchNorm result{Array(x.shape(), x.dtype(), x.device()), Array({channels}, DType::kF32, x.device()),
                   Array({channels}, DType::kF32, x.device())};
  const BatchNormLayer layer{weight.data<float>(), bias.data<float>(), options.eps, options.activation};
  row_kernels(x.device())
      .batch_norm(context, rows_of(x), layer, residual, rows_of(result.out), result.mean.data<float>(),
                  result.variance.data<float>());
  return result;
}

BatchNormGradients batch_norm_backward(const Array& x, const Array& weight, const BatchNorm& forward, const Array& grad,
                                       float eps, const Activation& activation, bool residual_gradient,
                                       const std::optional<Array>& bias) {
  constexpr const char* kOp = "batch_norm_backward";
  check_features(kOp, x);
  const std::int64_t channels = x.dim(1);
  check_like(kOp, "weight", weight, {channels}, x);
  check_like(kOp, "mean", forward.mean, {channels}, x);
  check_like(kOp, "variance", forward.variance, {channels}, x);
  check(!bias || !residual_gradient, "[batch_norm_backward] after a residual, out tells the derivative: no bias then");
  if (bias) {
    check_like(kOp, "bias", *bias, {channels}, x);
  } else {
    check_like(kOp, "out", forward.out, x.shape(), x, x.dtype());
  }
  check_like(kOp, "grad", grad, x.shape(), x, x.dtype());
  check(eps > 0, "[batch_norm_backward] eps must be above 0, found ", eps);
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const auto like_x = [&] { return Array(x.shape(), x.dtype(), x.device()); };
  const auto per_channel = [&] { return Array({channels}, DType::kF32, x.device()); };
  BatchNormGradients gradients{like_x(), per_channel(), per_channel(), std::nullopt};
  if (residual_gradient) gradients.residual = like_x();
  const BatchNormBackward norm{{weight.data<float>(), bias ? bias->data<float>() : nullptr, eps, activation},
                               rows_of(x),
                               bias ? ConstRowView() : rows_of(forward.out),
                               rows_of(grad),
                               forward.mean.data<float>(),
                               forward.variance.data<float>()};
  row_kernels(x.device())
      .batch_norm_backward(context, norm, rows_of(gradients.input),
                           gradients.residual ? rows_of(*gradients.residual) : RowView(),
                           gradients.weight.data<float>(), gradients.bias.data<float>());
  return gradients;
}

}  // namespace voxshift
