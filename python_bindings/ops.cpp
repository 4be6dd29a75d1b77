// Ops on sparse tensors and on rows.
#include <pybind11/stl.h>
#include <voxshift/rows/ops.h>
#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/combine.h>
#include <voxshift/sparse_conv/conv_backward.h>
#include <voxshift/sparse_conv/pool.h>

#include <utility>

#include "arrays.h"
#include "bindings.h"
#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using ConvOp = SparseTensor(const SparseTensor&, const Array&, const ConvOptions&);

ConvOptions window_options(const char* op, const Axes& kernel_size, const Axes& stride, const Axes& dilation,
                           const Axes& padding, const std::string& semantics) {
  ConvOptions options;
  options.kernel_size = list_of(kernel_size);
  options.stride = list_of(stride);
  options.dilation = list_of(dilation);
  options.padding = list_of(padding);
  options.semantics = semantics_of(op, semantics);
  return options;
}

/// What a convolution is given beside its window.
ConvOptions with_epilogue(const char* op, ConvOptions options, const std::optional<Array>& bias,
                          const std::optional<SparseTensor>& residual, const OptionalWord& activation,
                          float negative_slope) {
  options.bias = bias;
  options.residual = residual;
  options.activation = activation_of(op, activation, negative_slope);
  return options;
}

void bind_conv(py::module_& m, const char* op, ConvOp* run, const char* doc) {
  m.def(
      op,
      [op, run](const SparseTensor& x, const Array& weight, const Axes& kernel_size, const Axes& stride,
                const Axes& dilation, const Axes& padding, const std::string& semantics,
                const std::optional<Array>& bias, const std::optional<SparseTensor>& residual,
                const OptionalWord& activation, float negative_slope) {
        return run(x, weight,
                   with_epilogue(op, window_options(op, kernel_size, stride, dilation, padding, semantics), bias,
                                 residual, activation, negative_slope));
      },
      "x"_a, "weight"_a, "kernel_size"_a = 3, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0,
      "semantics"_a = "floor", "bias"_a = py::none(), "residual"_a = py::none(), "activation"_a = py::none(),
      py::arg_v("negative_slope", 0.01f, "0.01"), WithoutGil(), doc);
}

void bind_generative(py::module_& m, const char* op, const char* doc) {
  m.def(
      op,
      [op](const SparseTensor& x, const Array& weight, const Axes& kernel_size, const Axes& stride,
           const Axes& dilation, const Axes& padding, const std::string& semantics, const std::optional<Array>& bias,
           const std::optional<SparseTensor>& residual, const OptionalWord& activation, float negative_slope,
           const Axes& output_padding) {
        ConvOptions options = window_options(op, kernel_size, stride, dilation, padding, semantics);
        options.output_padding = list_of(output_padding);
        return generative_conv_transpose(
            x, weight, with_epilogue(op, std::move(options), bias, residual, activation, negative_slope));
      },
      "x"_a, "weight"_a, "kernel_size"_a = 3, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0,
      "semantics"_a = "floor", "bias"_a = py::none(), "residual"_a = py::none(), "activation"_a = py::none(),
      py::arg_v("negative_slope", 0.01f, "0.01"), "output_padding"_a = 0, WithoutGil(), doc);
}

void bind_pool(py::module_& m, const char* op, Pooling pooling, const char* doc) {
  m.def(
      op,
      [op, pooling](const SparseTensor& x, const Axes& kernel_size, const Axes& stride, const Axes& dilation,
                    const Axes& padding, const std::string& semantics) {
        return pool(x, pooling, window_options(op, kernel_size, stride, dilation, padding, semantics));
      },
      "x"_a, "kernel_size"_a, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0, "semantics"_a = "floor", WithoutGil(),
      doc);
}

void bind_pool_backward(py::module_& m, const char* op, Pooling pooling, const char* doc) {
  m.def(
      op,
      [op, pooling](const SparseTensor& x, const Array& grad, const Axes& kernel_size, const Axes& stride,
                    const Axes& dilation, const Axes& padding, const std::string& semantics) {
        return pool_backward(x, grad, pooling, window_options(op, kernel_size, stride, dilation, padding, semantics));
      },
      "x"_a, "grad"_a, "kernel_size"_a, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0, "semantics"_a = "floor",
      WithoutGil(), doc);
}

void bind_global_pool(py::module_& m, const char* op, Pooling pooling, const char* doc) {
  m.def(
      op, [pooling](const SparseTensor& x) { return global_pool(x, pooling); }, "x"_a, WithoutGil(), doc);
}

void bind_global_pool_backward(py::module_& m, const char* op, Pooling pooling, const char* doc) {
  m.def(
      op, [pooling](const SparseTensor& x, const Array& grad) { return global_pool_backward(x, grad, pooling); }, "x"_a,
      "grad"_a, WithoutGil(), doc);
}

constexpr const char* kConvDoc =
    R"(out[o] = act(sum_k x[i] W[k] + bias + residual[o]) over the pairs with i = o * stride + offset_k.

weight: float32 [K, Cin, Cout], K the product of kernel_size. Correlation. Offsets are row-major with the last axis
    fastest, odd sizes centred, even sizes 0..k-1.
kernel_size, stride, dilation, padding: one number or one per axis, in cells of x's grid.
semantics: "floor": stride 1 is submanifold, the output has x's coordinates (Graham et al., CVPR 2018); a larger stride
    gives unique(floor(c / stride)) (MinkowskiEngine, torchsparse <= 2.0). "bounded": every output that a tap touches
    inside x.shape exists, i = o * stride - padding + r * dilation (spconv).
bias: float32 [Cout]. residual: a tensor on the output's coordinates with Cout channels.
Features are float32, float16 or bfloat16: the result and a residual have the dtype of x, to which the weight is rounded; sums are float32.
activation: None, "relu", "relu6" or "leaky_relu" with negative_slope.

Raises ValueError for wrong shapes, dtypes or options.)";

constexpr const char* kConvTransposeDoc =
    R"(The transpose of conv: from x's coordinates back to those that a convolution of the same stride came from.

Uses that convolution's kernel map with input and output exchanged and the same offset index (spconv's
SparseInverseConv, torchsparse's transposed Conv3d). Arguments as in conv. Raises ValueError when no such convolution
made x's coordinates.)";

constexpr const char* kGenerativeDoc =
    R"(A transposed convolution that makes its coordinates: all c * stride + offset_k.

Arguments as in conv. semantics: "floor" is MinkowskiGenerativeConvolutionTranspose's; "bounded" spconv's
SparseConvTranspose's: coordinates within (extent - 1) stride - 2 padding + dilation (size - 1) + 1 + output_padding cells.
output_padding: one number or one per axis.)";

constexpr const char* kKernelMapDoc =
    R"(The pairs that conv with these options uses: int32 [P, 3] = (offset, input row, output row).

x: Coordinates, or a tensor on them. Sorted by offset, then output row. Other arguments as in conv.)";

constexpr const char* kSelectDoc =
    R"(The rows i with mask[i] != 0, in order (MinkowskiPruning). mask: bool or uint8 [N].

Raises ValueError for another dtype or length.)";

constexpr const char* kToDenseDoc = R"(float32 [B, C, extent...] with zeros where there is no row; extents are x.shape.

B is the highest batch index + 1, or batches where that is larger. Raises ValueError when x has no shape, where the
highest batch index is 65,536 or more and not below the number of rows, and for a result of more than 2**31 - 1 numbers.)";

constexpr const char* kLinearDoc =
    R"(act(x W + bias): x [N, Cin] float32, float16 or bfloat16, weight float32 [Cin, Cout], bias float32 [Cout]; gives [N, Cout].

dtypes and activation as in conv. Raises ValueError for other shapes or dtypes.)";

constexpr const char* kAffineDoc =
    R"(act(x * scale + shift) per channel: batch normalisation at inference.

x: float32 [N, C]. scale, shift: float32 [C]. A missing scale is 1, a missing shift 0; activation as in conv. Raises ValueError for other shapes or dtypes.)";

using ConvBackwardOp = ConvGradients(const SparseTensor&, const Array&, const Array&, const ConvOptions&,
                                     WantedGradients, const std::optional<Array>&);

void bind_conv_backward(py::module_& m, const char* op, ConvBackwardOp* run, const char* doc) {
  m.def(
      op,
      [op, run](const SparseTensor& x, const Array& weight, const Array& grad, const Axes& kernel_size,
                const Axes& stride, const Axes& dilation, const Axes& padding, const std::string& semantics,
                bool input_gradient, bool weight_gradient, const std::optional<Array>& added) {
        const auto gradients =
            run(x, weight, grad, window_options(op, kernel_size, stride, dilation, padding, semantics),
                {input_gradient, weight_gradient}, added);
        return std::pair(gradients.input, gradients.weight);
      },
      "x"_a, "weight"_a, "grad"_a, "kernel_size"_a = 3, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0,
      "semantics"_a = "floor", "input_gradient"_a = true, "weight_gradient"_a = true, "added"_a = py::none(),
      WithoutGil(), doc);
}

void bind_generative_backward(py::module_& m, const char* op, const char* doc) {
  m.def(
      op,
      [op](const SparseTensor& x, const Array& weight, const Array& grad, const Axes& kernel_size, const Axes& stride,
           const Axes& dilation, const Axes& padding, const std::string& semantics, bool input_gradient,
           bool weight_gradient, const std::optional<Array>& added, const Axes& output_padding) {
        ConvOptions options = window_options(op, kernel_size, stride, dilation, padding, semantics);
        options.output_padding = list_of(output_padding);
        const auto gradients =
            generative_conv_transpose_backward(x, weight, grad, options, {input_gradient, weight_gradient}, added);
        return std::pair(gradients.input, gradients.weight);
      },
      "x"_a, "weight"_a, "grad"_a, "kernel_size"_a = 3, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0,
      "semantics"_a = "floor", "input_gradient"_a = true, "weight_gradient"_a = true, "added"_a = py::none(),
      "output_padding"_a = 0, WithoutGil(), doc);
}

constexpr const char* kConvBackwardDoc =
    R"(Gradients of conv for grad [No, Cout], that of its result's features before activation.

Gives (input [N, Cin], weight float32 [K, Cin, Cout]); input_gradient and weight_gradient say which, None for the other. grad,
input and added have the dtype of x, float32 or, on CUDA, float16 or bfloat16. added: [N, Cin] that is added to input, the gradient of another use of x's features. A bias has the gradient
sum_rows(grad), a residual has grad. Other arguments as given to conv; the kernel map is the one that conv left with x.
Raises ValueError for wrong shapes, dtypes or options, and BackendUnavailable for halves on the CPU.)";

constexpr const char* kLinearBackwardDoc =
    R"(Gradients of linear for grad [N, Cout], that of its result before activation; dtypes and errors as those of conv_backward.

Gives (input [N, Cin], weight float32 [Cin, Cout]); input_gradient and weight_gradient say which, None for the
other. A bias has the gradient sum_rows(grad). Raises ValueError for wrong shapes or dtypes.)";

constexpr const char* kBatchNormDoc =
    R"(Batch normalisation in training mode over all rows (Ioffe and Szegedy, ICML 2015).

(out, mean, variance) with out = act(weight * (x - mean) / sqrt(variance + eps) + bias + residual): x, residual and out
[N, C] float32 or, on CUDA, float16 or bfloat16, the others float32 [C]; the variance is biased. activation as in conv. Raises ValueError
for wrong shapes, dtypes or eps, and BackendUnavailable for halves on the CPU.)";

constexpr const char* kBatchNormBackwardDoc =
    R"(Gradients of batch_norm for grad [N, C] of x's dtype, that of its out: (x, weight, bias, residual).

out, mean and variance are batch_norm's results, eps and activation what it was given. The last is None unless
residual_gradient is set. Where there was no residual, out may be None and bias be given: the activation's derivative
then comes from x, which is read anyway. Raises ValueError for wrong shapes, dtypes or eps, for neither of out and bias,
and for a bias with residual_gradient.)";

void bind_sparse_conv(py::module_& m) {
  bind_conv(m, "conv", conv, kConvDoc);
  bind_conv(m, "conv_transpose", conv_transpose, kConvTransposeDoc);
  bind_generative(m, "generative_conv_transpose", kGenerativeDoc);
  bind_conv_backward(m, "conv_backward", conv_backward, kConvBackwardDoc);
  bind_conv_backward(m, "conv_transpose_backward", conv_transpose_backward,
                     "Gradients of conv_transpose, as those of conv_backward.");
  bind_generative_backward(m, "generative_conv_transpose_backward",
                           "Gradients of generative_conv_transpose, as those of conv_backward.");
  m.def(
      "kernel_map",
      [](const AnyCoordinates& x, const Axes& kernel_size, const Axes& stride, const Axes& dilation,
         const Axes& padding, const std::string& semantics) {
        return kernel_map(coordinates_of(x),
                          window_options("kernel_map", kernel_size, stride, dilation, padding, semantics));
      },
      "x"_a.none(false), "kernel_size"_a = 3, "stride"_a = 1, "dilation"_a = 1, "padding"_a = 0,
      "semantics"_a = "floor", WithoutGil(), kKernelMapDoc);
  bind_pool(m, "max_pool", Pooling::kMax,
            "Maximum of the inputs present in each window; coordinates and options as in conv.");
  bind_pool(m, "avg_pool", Pooling::kAverage,
            "Mean of the inputs present in each window (MinkowskiEngine, spconv); coordinates and options as in conv.");
  bind_pool(m, "sum_pool", Pooling::kSum,
            "Sum of the inputs present in each window; coordinates and options as in conv.");
  bind_global_pool(m, "global_max_pool", Pooling::kMax,
                   "Maximum over the rows of each batch: [B, C], 0 for a batch without rows. Raises ValueError where\n"
                   "the highest batch index is 65,536 or more and not below the number of rows.");
  bind_global_pool(m, "global_avg_pool", Pooling::kAverage,
                   "Mean over the rows of each batch: [B, C], 0 for a batch without rows. Raises ValueError where\n"
                   "the highest batch index is 65,536 or more and not below the number of rows.");
  bind_global_pool(m, "global_sum_pool", Pooling::kSum,
                   "Sum over the rows of each batch: [B, C], 0 for a batch without rows. Raises ValueError where\n"
                   "the highest batch index is 65,536 or more and not below the number of rows.");
  bind_pool_backward(
      m, "max_pool_backward", Pooling::kMax,
      "Gradient [N, C] of x's features for grad [No, C], that of max_pool's features.\n\n"
      "Channel by channel grad[o] goes to the input that has the maximum, among equal ones to the first\n"
      "in the order of the offsets. Other arguments as given to max_pool. Raises ValueError.");
  bind_pool_backward(m, "avg_pool_backward", Pooling::kAverage,
                     "Gradient [N, C] of x's features for grad [No, C], that of avg_pool's features.\n\n"
                     "Other arguments as given to avg_pool. Raises ValueError.");
  bind_pool_backward(m, "sum_pool_backward", Pooling::kSum,
                     "Gradient [N, C] of x's features for grad [No, C], that of sum_pool's features.\n\n"
                     "Other arguments as given to sum_pool. Raises ValueError.");
  bind_global_pool_backward(m, "global_max_pool_backward", Pooling::kMax,
                            "Gradient [N, C] of x's features for grad [B, C] of global_max_pool.\n\n"
                            "Channel by channel it goes to the row that has the maximum, among equal ones to the\n"
                            "lowest. Raises ValueError for another grad.");
  bind_global_pool_backward(m, "global_avg_pool_backward", Pooling::kAverage,
                            "Gradient [N, C] of x's features for grad [B, C] of global_avg_pool.\n\n"
                            "Raises ValueError for another grad.");
  bind_global_pool_backward(m, "global_sum_pool_backward", Pooling::kSum,
                            "Gradient [N, C] of x's features for grad [B, C] of global_sum_pool.\n\n"
                            "Raises ValueError for another grad.");
}

void bind_combine(py::module_& m) {
  m.def("cat", &cat, "tensors"_a, WithoutGil(),
        "Channels side by side, [N, sum C], for tensors on equal coordinates. Raises ValueError otherwise.");
  m.def(
      "add",
      [](const SparseTensor& a, const SparseTensor& b, const OptionalWord& activation, float negative_slope) {
        return add(a, b, activation_of("add", activation, negative_slope));
      },
      "a"_a, "b"_a, "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"), WithoutGil(),
      "act(a + b) for tensors on equal coordinates; activation as in conv. Raises ValueError otherwise.");
  m.def("union_add", &union_add, "a"_a, "b"_a, WithoutGil(),
        "a + b on the union of their coordinates; a missing row counts as 0 (MinkowskiUnion, spconv's sparse_add).");
  m.def("select_rows", &select_rows, "x"_a, "mask"_a, WithoutGil(), kSelectDoc);
  m.def("to_dense", &to_dense, "x"_a, "batches"_a = 0, WithoutGil(), kToDenseDoc);
  m.def("from_dense", &from_dense, "dense"_a, WithoutGil(),
        "The cells of dense float32 [B, C, extent...], 1 to 4 spatial axes, that have a channel other than 0.\n"
        "Its extents become the tensor's shape. Raises ValueError for another dtype or rank.");
}

void bind_rows(py::module_& m) {
  m.def(
      "linear",
      [](const Array& x, const Array& weight, const std::optional<Array>& bias, const OptionalWord& activation,
         float negative_slope) { return linear(x, weight, bias, activation_of("linear", activation, negative_slope)); },
      "x"_a, "weight"_a, "bias"_a = py::none(), "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"),
      WithoutGil(), kLinearDoc);
  m.def(
      "affine",
      [](const Array& x, const std::optional<Array>& scale, const std::optional<Array>& shift,
         const OptionalWord& activation,
         float negative_slope) { return affine(x, scale, shift, activation_of("affine", activation, negative_slope)); },
      "x"_a, "scale"_a = py::none(), "shift"_a = py::none(), "activation"_a = py::none(),
      py::arg_v("negative_slope", 0.01f, "0.01"), WithoutGil(), kAffineDoc);
  m.def("argmax", &argmax, "x"_a, WithoutGil(),
        "uint8 [N]: the lowest channel that holds a row's maximum; x float32 [N, C] with 1 to 256 channels.");
}

void bind_training(py::module_& m) {
  m.def(
      "linear_backward",
      [](const Array& x, const Array& weight, const Array& grad, bool input_gradient, bool weight_gradient) {
        const auto gradients = linear_backward(x, weight, grad, {input_gradient, weight_gradient});
        return std::pair(gradients.input, gradients.weight);
      },
      "x"_a, "weight"_a, "grad"_a, "input_gradient"_a = true, "weight_gradient"_a = true, WithoutGil(),
      kLinearBackwardDoc);
  m.def("sum_rows", &sum_rows, "x"_a, WithoutGil(),
        "float32 [C]: the sum of x [N, C], float32 or, on CUDA, float16 or bfloat16, over all rows, the gradient of a "
        "bias.");
  m.def(
      "batch_norm",
      [](const Array& x, const Array& weight, const Array& bias, float eps, const std::optional<Array>& residual,
         const OptionalWord& activation, float negative_slope) {
        const BatchNorm norm =
            batch_norm(x, weight, bias, {eps, residual, activation_of("batch_norm", activation, negative_slope)});
        return std::tuple(norm.out, norm.mean, norm.variance);
      },
      "x"_a, "weight"_a, "bias"_a, py::arg_v("eps", 1e-5f, "1e-05"), "residual"_a = py::none(),
      "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"), WithoutGil(), kBatchNormDoc);
  m.def(
      "batch_norm_backward",
      [](const Array& x, const std::optional<Array>& out, const Array& grad, const Array& mean, const Array& variance,
         const Array& weight, float eps, const OptionalWord& activation, float negative_slope, bool residual_gradient,
         const std::optional<Array>& bias) {
        const auto gradients = batch_norm_backward(x, weight, {out.value_or(Array()), mean, variance}, grad, eps,
                                                   activation_of("batch_norm_backward", activation, negative_slope),
                                                   residual_gradient, bias);
        return std::tuple(gradients.input, gradients.weight, gradients.bias, gradients.residual);
      },
      "x"_a, "out"_a, "grad"_a, "mean"_a, "variance"_a, "weight"_a, py::arg_v("eps", 1e-5f, "1e-05"),
      "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"), "residual_gradient"_a = false,
      "bias"_a = py::none(), WithoutGil(), kBatchNormBackwardDoc);
}

}  // namespace

void bind_ops(py::module_& m) {
  bind_sparse_conv(m);
  bind_combine(m);
  bind_rows(m);
  bind_training(m);
}

}  // namespace voxshift::python
