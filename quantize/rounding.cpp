#include <voxshift/quantize/histogram.h>
#include <voxshift/quantize/rounding.h>
#include <voxshift/quantize/weight_layout.h>
#include <voxshift/tensor/narrow.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace voxshift {
namespace {

constexpr float kRounder = 0x1.8p23f;  // adding and subtracting it rounds to a whole number, ties to even
constexpr int kWeightSteps = 40;       // thresholds of weights, each a hundredth below the one before

// As to_i8, as f32. Without a call of nearbyint the loop is one of vectors.
float whole_number(float x, float inverse) {
  const float scaled = x * inverse;
  const float clipped = std::min(std::max(scaled, -static_cast<float>(kMostI8)), static_cast<float>(kMostI8));
  return std::isnan(scaled) ? 0.0f : (clipped + kRounder) - kRounder;
}

double squared_error(const std::vector<float>& values, float scale) {
  const float inverse = 1 / scale;
  float sum = 0;
  for (const float x : values) {
    const float rest = x - whole_number(x, inverse) * scale;
    sum += rest * rest;
  }
  return sum;
}

float scale_of_weights(const std::vector<float>& values, WeightScale how) {
  float most = 0;
  for (const float x : values) most = std::max(most, std::abs(x));
  if (most == 0) return 1;
  float best = valid_scale(static_cast<double>(most) / kMostI8);
  if (how == WeightScale::kMaximum) return best;
  double least = squared_error(values, best);
  for (int k = 1; k <= kWeightSteps; ++k) {
    const float scale = valid_scale(static_cast<double>(most) / kMostI8 * (1 - 0.01 * k));
    const double error = squared_error(values, scale);
    if (error < least) least = error, best = scale;
  }
  return best;
}

}  // namespace

void round_rows(const ConstRowView& x, const std::vector<float>& scale, const RowView& y) {
  std::vector<float> inverse(scale.size());
  for (std::size_t c = 0; c < scale.size(); ++c) inverse[c] = 1 / scale[c];
  for (std::int64_t i = 0; i < x.count; ++i) {
    const float* from = static_cast<const float*>(x.base) + i * x.row_stride;
    float* to = static_cast<float*>(y.base) + i * y.row_stride;
    for (std::size_t c = 0; c < scale.size(); ++c) to[c] = whole_number(from[c], inverse[c]) * scale[c];
  }
}

RoundedWeight rounded_weight(const Node& node, const Parameters& parameters, const std::vector<float>& scale,
                             WeightScale how) {
  const Array& weight = parameters.at(node.parameters.at("weight"));
  const WeightLayout layout = weight_layout(node, parameters);
  const auto outputs = static_cast<std::size_t>(layout.out_channels());
  std::vector<std::vector<float>> by_output(outputs);
  for (auto& values : by_output) values.reserve(static_cast<std::size_t>(layout.in * layout.taps));
  const float* from = weight.data<float>();
  layout.for_each([&](std::int64_t at, std::int64_t out, std::int64_t in) {
    by_output[static_cast<std::size_t>(out)].push_back(from[at] * scale[static_cast<std::size_t>(in)]);
  });
  RoundedWeight result{Array(weight.shape(), DType::kI8), std::vector<float>(outputs),
                       Array(weight.shape(), DType::kF32)};
  std::vector<float> inverse(outputs);
  for (std::size_t o = 0; o < outputs; ++o) {
    for (const float x : by_output[o])
      check(std::abs(x) <= std::numeric_limits<float>::max(), "[quantize] node \"", node.name,
            "\" has weights that are not finite");
    result.multiplier[o] = scale_of_weights(by_output[o], how);
    inverse[o] = 1 / result.multiplier[o];
  }
  auto* whole = result.whole.data<std::int8_t>();
  float* rounded = result.rounded.data<float>();
  layout.for_each([&](std::int64_t at, std::int64_t out, std::int64_t in) {
    const auto o = static_cast<std::size_t>(out), i = static_cast<std::size_t>(in);
    const float n = whole_number(from[at] * scale[i], inverse[o]);
    whole[at] = static_cast<std::int8_t>(n);
    rounded[at] = n * (result.multiplier[o] / scale[i]);
  });
  return result;
}

}  // namespace voxshift
