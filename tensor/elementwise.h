// Functions of one number that vector code does not have, and of one row.
#pragma once

namespace voxshift {

/// An element-wise function of x; that of NaN is NaN.
struct Elementwise {
  enum class Kind {
    kSigmoid,      ///< 1 / (1 + exp(-x))
    kTanh,         ///< tanh(x)
    kElu,          ///< x > 0 ? x : a (exp(x) - 1)
    kGelu,         ///< x / 2 (1 + erf(x / sqrt(2)))
    kGeluTanh,     ///< x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    kSilu,         ///< x / (1 + exp(-x))
    kHardSigmoid,  ///< min(max(x + 3, 0), 6) / 6
    kHardSwish,    ///< x min(max(x + 3, 0), 6) / 6
    kClip,         ///< min(max(x, a), b)
    kPower,        ///< x^a
  };

  Kind kind = Kind::kSigmoid;
  float a = 0, b = 0;

  bool operator==(const Elementwise&) const = default;
};

/// A function of a row x of C channels; weight and bias [C], null: 1 and 0.
struct RowFunction {
  enum class Kind {
    kSoftmax,     ///< exp(x - max x) / sum exp(x - max x)
    kLogSoftmax,  ///< x - max x - log(sum exp(x - max x))
    kLayerNorm,   ///< (x - mean) / sqrt(variance + eps) * weight + bias, the variance divided by C
    kL2Norm,      ///< x / max(|x|, eps)
    kPrelu,       ///< x > 0 ? x : x * weight
  };

  Kind kind;
  float eps = 0;
  const float* weight = nullptr;
  const float* bias = nullptr;
};

}  // namespace voxshift
