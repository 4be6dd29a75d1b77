// Weighted sums of rows of numbers of any dtype.
#include <voxshift/kernels_cpu/narrow_mix.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/narrow_mix.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_NARROW_MIX
#define VOXSHIFT_KERNELS_CPU_NARROW_MIX
namespace voxshift::cpu {

constexpr int kMostNarrowMixed = 8;  // rows that make one

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

struct MixNumbers {
  const NarrowMixture& op;
  std::int64_t first, last;

  template <DType kType>
  HWY_INLINE void run() const {
    if (op.fused) {
      run_rows<kType, true>();
    } else {
      run_rows<kType, false>();
    }
  }

 private:
  template <DType kType, bool kFused>
  HWY_INLINE void run_rows() const {
    constexpr std::int64_t kAhead = 8;  // rows whose sources are asked for before they are needed
    for (std::int64_t i = first; i < last; ++i) {
      std::int32_t rows[kMostNarrowMixed];
      float weights[kMostNarrowMixed];
      std::int64_t count = 0;
      for (std::int64_t j = i * op.k; j < (i + 1) * op.k; ++j) {
        rows[count] = op.indices[j];
        weights[count] = op.weights[j];
        count += op.indices[j] >= 0 && op.weights[j] != 0;
      }
      if (i + kAhead < last) ask_for(i + kAhead);
      mix_row<kType, kFused>(rows, weights, count, i);
    }
  }

  HWY_INLINE void ask_for(std::int64_t i) const {
    constexpr std::int64_t kLine = 64;
    const std::int64_t bytes = op.in.channels * static_cast<std::int64_t>(size_of(op.in.dtype));
    for (std::int64_t j = i * op.k; j < (i + 1) * op.k; ++j)
      if (op.indices[j] >= 0 && op.weights[j] != 0)
        for (std::int64_t b = 0; b < bytes; b += kLine)
          hwy::Prefetch(row_bytes<const std::byte>(op.in, op.indices[j]) + b);
  }

  /// out[i] = sum of weights[j] * in[rows[j]] in order, a vector of channels at a time.
  template <DType kType, bool kFused>
  HWY_INLINE void mix_row(const std::int32_t* rows, const float* weights, std::int64_t count, std::int64_t i) const {
    const NumberWriter write(op.out, i);
    for (std::int64_t c = 0; c < op.out.channels; c += kLanes) {
      const std::int64_t lanes = std::min<std::int64_t>(kLanes, op.out.channels - c);
      FloatVector sum = hn::Zero(Floats());
      for (std::int64_t j = 0; j < count; ++j) {
        const FloatVector x = TypedRow<kType>(op.in, rows[j])(c, lanes), w = hn::Set(Floats(), weights[j]);
        sum = kFused ? hn::MulAdd(w, x, sum) : hn::Add(sum, hn::Mul(w, x));
      }
      write(sum, c, lanes);
    }
  }
};

void mix_numbers(const NarrowMixture& op, std::int64_t first, std::int64_t last) {
  with_numbers(op.in.dtype, MixNumbers{op, first, last});
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(mix_numbers);

void mix_narrow_rows(const NarrowMixture& op, std::int64_t first, std::int64_t last) {
  HWY_DYNAMIC_DISPATCH(mix_numbers)(op, first, last);
}

}  // namespace voxshift::cpu
#endif
