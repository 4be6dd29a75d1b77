// Gradients of the convolutions on sparse tensors.
#pragma once

#include <voxshift/rows/training.h>
#include <voxshift/sparse_conv/conv.h>

namespace voxshift {

struct ConvGradients {
  std::optional<Array> input;   ///< [N, Cin], of x's features and of their dtype
  std::optional<Array> weight;  ///< f32 [K, Cin, Cout]
};

/// Gradients of conv(x, weight, options) for grad [No, Cout], that of the features of its result before activation:
///   input[i] = sum of grad[o] W[k]^T and weight[k] = sum of x[i]^T grad[o] over the pairs (k, i, o) of the kernel map.
/// That of a bias is sum_rows(grad), that of a residual is grad itself. Reads kernel_size, stride, dilation, padding
/// and semantics of the options. The kernel map is the one that the forward op left in x's cache. `added` [N, Cin] is
/// added to `input`: the gradient that x's features have from another use. grad and `added` have the dtype of x, f32
/// or, on CUDA, f16 or bf16, to which the weight is rounded; sums are f32, and so is the weight's gradient. Throws
/// InvalidArgument for other shapes, dtypes or devices, and BackendUnavailable for halves where they have no gradients.
ConvGradients conv_backward(const SparseTensor& x, const Array& weight, const Array& grad,
                            const ConvOptions& options = {}, WantedGradients wanted = {},
                            const std::optional<Array>& added = {});

/// The same of conv_transpose() and generative_conv_transpose().
ConvGradients conv_transpose_backward(const SparseTensor& x, const Array& weight, const Array& grad,
                                      const ConvOptions& options, WantedGradients wanted = {},
                                      const std::optional<Array>& added = {});
ConvGradients generative_conv_transpose_backward(const SparseTensor& x, const Array& weight, const Array& grad,
                                                 const ConvOptions& options, WantedGradients wanted = {},
                                                 const std::optional<Array>& added = {});

}  // namespace voxshift
