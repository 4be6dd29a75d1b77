// Activations, and the epilogue of a product: bias, residual and activation, applied to each output row.
#pragma once

#include <voxshift/tensor/elementwise.h>
#include <voxshift/tensor/row_view.h>

namespace voxshift {

/// Element-wise function of a value x; that of NaN is NaN.
struct Activation {
  enum class Kind {
    kNone,       ///< x
    kRelu,       ///< max(x, 0)
    kRelu6,      ///< min(max(x, 0), 6)
    kLeakyRelu,  ///< x > 0 ? x : slope * x
    kFunction,   ///< function(x), applied to rows of a product while they are in the cache
  };

  Kind kind = Kind::kNone;
  float slope = 0.01f;
  Elementwise function = {};

  bool operator==(const Activation&) const = default;
};

/// out = activation(sum + bias + residual), or activation(sum + bias) + residual; absent parts have a null base.
struct Epilogue {
  const float* bias = nullptr;  ///< [out channels]
  ConstRowView residual;        ///< [out rows, out channels]
  Activation activation;
  bool residual_last = false;  ///< the residual is added after the activation
};

}  // namespace voxshift
