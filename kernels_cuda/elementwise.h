// Element-wise functions and functions of a row in kernels.
#pragma once

#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/tensor/elementwise.h>

namespace voxshift::cuda {

__device__ inline float apply(const Elementwise& f, float x) {
  const float hard = (x < -3 ? 0.0f : x > 3 ? 6.0f : x + 3) / 6;
  switch (f.kind) {
    case Elementwise::Kind::kSigmoid:
      return 1 / (1 + expf(-x));
    case Elementwise::Kind::kTanh:
      return tanhf(x);
    case Elementwise::Kind::kElu:
      return x > 0 ? x : f.a * expm1f(x);
    case Elementwise::Kind::kGelu:
      return x / 2 * (1 + erff(x * 0.70710678f));
    case Elementwise::Kind::kGeluTanh:
      return x / 2 * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case Elementwise::Kind::kSilu:
      return x / (1 + expf(-x));
    case Elementwise::Kind::kHardSigmoid:
      return hard;
    case Elementwise::Kind::kHardSwish:
      return x * hard;
    case Elementwise::Kind::kClip:
      return x < f.a ? f.a : x > f.b ? f.b : x;
    case Elementwise::Kind::kPower:
      return powf(x, f.a);
  }
  return x;
}

/// Row i of `out`, by one thread.
template <class In, class Out>
__device__ void apply(const RowFunction& f, In in, Out out, std::int64_t i) {
  const std::int64_t channels = in.channels;
  float offset = 0, scale = 1, sum = 0, squares = 0;
  if (f.kind == RowFunction::Kind::kPrelu) {
    for (std::int64_t c = 0; c < channels; ++c) out.set(i, c, in.at(i, c) * (in.at(i, c) > 0 ? 1.0f : f.weight[c]));
    return;
  }
  if (f.kind == RowFunction::Kind::kSoftmax || f.kind == RowFunction::Kind::kLogSoftmax) {
    float highest = in.at(i, 0);
    for (std::int64_t c = 1; c < channels; ++c)
      if (highest < in.at(i, c)) highest = in.at(i, c);
    for (std::int64_t c = 0; c < channels; ++c) sum += expf(in.at(i, c) - highest);
    const bool is_log = f.kind == RowFunction::Kind::kLogSoftmax;
    const float log = is_log ? logf(sum) : 0.0f;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float x = in.at(i, c) - highest;
      out.set(i, c, is_log ? x - log : expf(x) / sum);
    }
    return;
  }
  if (f.kind == RowFunction::Kind::kLayerNorm) {
    for (std::int64_t c = 0; c < channels; ++c) sum += in.at(i, c);
    offset = sum / static_cast<float>(channels);
  }
  for (std::int64_t c = 0; c < channels; ++c) squares += (in.at(i, c) - offset) * (in.at(i, c) - offset);
  if (f.kind == RowFunction::Kind::kLayerNorm) {
    scale = 1 / sqrtf(squares / static_cast<float>(channels) + f.eps);
  } else {
    const float norm = sqrtf(squares);
    scale = 1 / (norm < f.eps ? f.eps : norm);
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const float x = (in.at(i, c) - offset) * scale;
    out.set(i, c, x * (f.weight != nullptr ? f.weight[c] : 1.0f) + (f.bias != nullptr ? f.bias[c] : 0.0f));
  }
}

/// Rows that a kernel leaves for a function to finish: `out`, but f32 in the queue's arena where `out` is i8 or of
/// another dtype than what goes in, so that numbers are rounded once.
class UnroundedRows {
 public:
  UnroundedRows(const Queue& queue, const Activation& activation, DType in, const RowView& out) : rows(out) {
    const bool kept = out.dtype == DType::kF32 || (out.dtype == in && is_real(in));
    if (activation.kind != Activation::Kind::kFunction || kept) return;
    arena_ = &queue.arena();
    mark_ = arena_->mark();
    rows = {arena_->allocate<float>(out.count * out.channels), out.channels, out.count, out.channels};
  }
  ~UnroundedRows() {
    if (arena_ != nullptr) arena_->rewind(mark_);
  }
  UnroundedRows(const UnroundedRows&) = delete;
  UnroundedRows& operator=(const UnroundedRows&) = delete;

  RowView rows;

 private:
  Arena* arena_ = nullptr;  // null: `out` itself
  Arena::Mark mark_ = {};
};

/// out = the function of an activation that is one of `rows`, whose kernel has left it to this. `rows` may be out.
void apply_function(const Queue&, const Activation&, const ConstRowView& rows, const RowView& out);

/// The same for the rows of a product; then the residual that comes last.
void finish_function(const Queue&, const Epilogue&, const ConstRowView& rows, const RowView& out);

}  // namespace voxshift::cuda
