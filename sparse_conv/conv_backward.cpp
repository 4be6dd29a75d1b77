#include <voxshift/sparse_conv/conv_backward.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/features.h>

namespace voxshift {
namespace {

void check_operand(const char* op, const char* what, const Array& array, const Shape& expected, const SparseTensor& x) {
  check(array.dtype() == x.dtype() && array.shape() == expected, "[", op, "] ", what, " expects ", name(x.dtype()), " ",
        expected, ", found ", name(array.dtype()), " ", array.shape());
  check(array.device() == x.device(), "[", op, "] ", what, " is on ", name(array.device()), ", tensor is on ",
        name(x.device()));
}

ConvGradients run(const char* op, const ConvPlan& plan, const SparseTensor& x, const Array& weight, const Array& grad,
                  WantedGradients wanted, const std::optional<Array>& added) {
  check_gradients(op, x.dtype(), x.device());
  check_operand(op, "grad", grad, {plan.out.size(), weight.dim(2)}, x);
  if (added) check_operand(op, "added", *added, {x.size(), x.channels()}, x);
  const auto& kernels = sparse_conv_kernels(x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  ConvGradients gradients;
  if (wanted.input) {
    const auto packed =
        kernels.pack_transposed(context, weight.data<float>(), weight.dim(0), weight.dim(2), weight.dim(1), x.dtype());
    gradients.input.emplace(Shape{x.size(), x.channels()}, x.dtype(), x.device());
    Epilogue epilogue;
    if (added) epilogue.residual = rows_of(*added);
    kernels.conv(context, rows_of(grad), plan.backward(), *packed, epilogue, rows_of(*gradients.input));
  }
  if (wanted.weight) {
    gradients.weight.emplace(weight.shape(), DType::kF32, x.device());
    kernels.weight_gradient(context, rows_of(x.features()), rows_of(grad), plan.forward(),
                            gradients.weight->data<float>());
  }
  return gradients;
}

}  // namespace

ConvGradients conv_backward(const SparseTensor& x, const Array& weight, const Array& grad, const ConvOptions& options,
                            WantedGradients wanted, const std::optional<Array>& added) {
  constexpr const char* kOp = "conv_backward";
  return run(kOp, plan_conv(kOp, x, weight, options), x, weight, grad, wanted, added);
}

ConvGradients conv_transpose_backward(const SparseTensor& x, const Array& weight, const Array& grad,
                                      const ConvOptions& options, WantedGradients wanted,
                                      const std::optional<Array>& added) {
  constexpr const char* kOp = "conv_transpose_backward";
  return run(kOp, plan_conv_transpose(kOp, x, weight, options), x, weight, grad, wanted, added);
}

ConvGradients generative_conv_transpose_backward(const SparseTensor& x, const Array& weight, const Array& grad,
                                                 const ConvOptions& options, WantedGradients wanted,
                                                 const std::optional<Array>& added) {
  constexpr const char* kOp = "generative_conv_transpose_backward";
  return run(kOp, plan_generative_conv_transpose(kOp, x, weight, options), x, weight, grad, wanted, added);
}

}  // namespace voxshift
