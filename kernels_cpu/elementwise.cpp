// Element-wise functions and functions of a row on the CPU.
#include <voxshift/kernels_cpu/elementwise.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace voxshift::cpu {
namespace {

using Kind = Elementwise::Kind;

float hard(float x) { return std::min(std::max(x + 3, 0.0f), 6.0f) / 6; }

// The loop of one function, so that nothing is decided per number.
template <class F>
void map(const float* in, std::int64_t count, float* out, const F& f) {
  for (std::int64_t c = 0; c < count; ++c) out[c] = f(in[c]);
}

void softmax(const float* in, std::int64_t channels, float* out) {
  const float highest = *std::max_element(in, in + channels);
  float sum = 0;
  for (std::int64_t c = 0; c < channels; ++c) sum += out[c] = std::exp(in[c] - highest);
  for (std::int64_t c = 0; c < channels; ++c) out[c] /= sum;
}

void log_softmax(const float* in, std::int64_t channels, float* out) {
  const float highest = *std::max_element(in, in + channels);
  float sum = 0;
  for (std::int64_t c = 0; c < channels; ++c) sum += std::exp(in[c] - highest);
  const float log = std::log(sum);
  for (std::int64_t c = 0; c < channels; ++c) out[c] = in[c] - highest - log;
}

void layer_norm(const float* in, std::int64_t channels, const RowFunction& f, float* out) {
  double sum = 0, squares = 0;
  for (std::int64_t c = 0; c < channels; ++c) sum += in[c];
  const double mean = sum / static_cast<double>(channels);
  for (std::int64_t c = 0; c < channels; ++c) squares += (in[c] - mean) * (in[c] - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(channels) + f.eps);
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto x = static_cast<float>((in[c] - mean) * scale);
    out[c] = x * (f.weight ? f.weight[c] : 1.0f) + (f.bias ? f.bias[c] : 0.0f);
  }
}

void l2_norm(const float* in, std::int64_t channels, float eps, float* out) {
  double squares = 0;
  for (std::int64_t c = 0; c < channels; ++c) squares += double{in[c]} * in[c];
  const auto scale = static_cast<float>(1 / std::max(std::sqrt(squares), double{eps}));
  for (std::int64_t c = 0; c < channels; ++c) out[c] = in[c] * scale;
}

}  // namespace

void apply(const Elementwise& f, const float* in, std::int64_t count, float* out) {
  constexpr float kRootHalf = std::numbers::sqrt2_v<float> / 2;
  switch (f.kind) {
    case Kind::kSigmoid:
      return map(in, count, out, [](float x) { return 1 / (1 + std::exp(-x)); });
    case Kind::kTanh:
      return map(in, count, out, [](float x) { return std::tanh(x); });
    case Kind::kElu:
      return map(in, count, out, [a = f.a](float x) { return x > 0 ? x : a * std::expm1(x); });
    case Kind::kGelu:
      return map(in, count, out, [](float x) { return x / 2 * (1 + std::erf(x * kRootHalf)); });
    case Kind::kGeluTanh:
      return map(in, count, out, [](float x) {
        const float slope = std::sqrt(2 * std::numbers::inv_pi_v<float>);
        return x / 2 * (1 + std::tanh(slope * (x + 0.044715f * x * x * x)));
      });
    case Kind::kSilu:
      return map(in, count, out, [](float x) { return x / (1 + std::exp(-x)); });
    case Kind::kHardSigmoid:
      return map(in, count, out, hard);
    case Kind::kHardSwish:
      return map(in, count, out, [](float x) { return x * hard(x); });
    case Kind::kClip:
      return map(in, count, out, [a = f.a, b = f.b](float x) { return x < a ? a : x > b ? b : x; });
    case Kind::kPower:
      return map(in, count, out, [a = f.a](float x) { return std::pow(x, a); });
  }
}

void apply(const RowFunction& f, const float* in, std::int64_t channels, float* out) {
  switch (f.kind) {
    case RowFunction::Kind::kSoftmax:
      return softmax(in, channels, out);
    case RowFunction::Kind::kLogSoftmax:
      return log_softmax(in, channels, out);
    case RowFunction::Kind::kLayerNorm:
      return layer_norm(in, channels, f, out);
    case RowFunction::Kind::kL2Norm:
      return l2_norm(in, channels, f.eps, out);
    case RowFunction::Kind::kPrelu:
      for (std::int64_t c = 0; c < channels; ++c) out[c] = in[c] > 0 ? in[c] : in[c] * f.weight[c];
  }
}

void apply_function(const Activation& activation, const RowView& rows) {
  if (activation.kind != Activation::Kind::kFunction) return;
  auto* row = static_cast<float*>(rows.base);
  for (std::int64_t i = 0; i < rows.count; ++i, row += rows.row_stride)
    apply(activation.function, row, rows.channels, row);
}

}  // namespace voxshift::cpu
