// What training needs on rows of features [N, C]: batch normalisation over the rows, and gradients. Features, and the
// gradients that have their shape, are f32 or, on CUDA, f16 or bf16; all else, and every sum, is f32. Halves elsewhere
// are BackendUnavailable.
#pragma once

#include <voxshift/tensor/epilogue.h>

#include <optional>

namespace voxshift {

/// Which gradients a backward op shall give; the others are absent from its result.
struct WantedGradients {
  bool input = true, weight = true;
};

struct LinearGradients {
  std::optional<Array> input;   ///< of x: grad W^T
  std::optional<Array> weight;  ///< x^T grad
};

/// Gradients of linear(x, weight) without activation for grad [N, Cout] of the dtype of x, that of its result. Throws
/// InvalidArgument for other shapes, dtypes or mixed devices, more than 2^20 channels and more than 2^31 - 1 rows.
LinearGradients linear_backward(const Array& x, const Array& weight, const Array& grad, WantedGradients wanted = {});

/// f32 [C]: the sum over all rows, the gradient of a bias. Added in chunks of 512 rows, then in double precision.
Array sum_rows(const Array& x);

struct BatchNormOptions {
  float eps = 1e-5f;
  std::optional<Array> residual;  ///< [N, C], of x's dtype, added before the activation
  Activation activation;
};

struct BatchNorm {
  Array out;             ///< [N, C], of x's dtype
  Array mean, variance;  ///< f32 [C], over all rows; the variance is biased, as it normalises
};

/// Batch normalisation in training mode (Ioffe and Szegedy, ICML 2015), over all rows whatever cloud or frame they
/// belong to: act(weight * (x - mean) / sqrt(variance + eps) + bias + residual), weight and bias f32 [C]. Throws
/// InvalidArgument for other shapes, dtypes or mixed devices, and for an eps that is not above 0.
BatchNorm batch_norm(const Array& x, const Array& weight, const Array& bias, const BatchNormOptions& options = {});

struct BatchNormGradients {
  Array input, weight, bias;
  std::optional<Array> residual;
};

/// Gradients of batch_norm(x, weight, ..) for grad [N, C], that of its `out`; mean and variance get none. eps and
/// activation are those of the forward op. The activation's derivative is taken from `forward.out`, or, where there was
/// no residual and `bias` is given, from x: then `forward.out` is not read and may be empty. Where out is 0 it is the
/// one of x < 0. Throws InvalidArgument for other shapes, dtypes or mixed devices, and for a bias with
/// residual_gradient.
BatchNormGradients batch_norm_backward(const Array& x, const Array& weight, const BatchNorm& forward, const Array& grad,
                                       float eps = 1e-5f, const Activation& activation = {},
                                       bool residual_gradient = false, const std::optional<Array>& bias = std::nullopt);

}  // namespace voxshift
