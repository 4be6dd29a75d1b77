// Rows of accumulators on their way through the cache: started from the bias, finished by the epilogue. Compiled once
// per instruction set, like matmul.h.
#if defined(VOXSHIFT_KERNELS_CPU_BLOCK_ROWS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_BLOCK_ROWS_H
#undef VOXSHIFT_KERNELS_CPU_BLOCK_ROWS_H
#else
#define VOXSHIFT_KERNELS_CPU_BLOCK_ROWS_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/matmul.h>
#include <voxshift/tensor/epilogue.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

// x < low ? low : x and x > high ? high : x. x86 has them as one instruction, whose second operand is the result where
// one is NaN; NEON's maximum drops a NaN.
HWY_INLINE FloatVector at_least(FloatVector low, FloatVector x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return hn::Max(low, x);
#else
  return hn::IfThenElse(hn::Lt(x, low), low, x);
#endif
}

HWY_INLINE FloatVector at_most(FloatVector high, FloatVector x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return hn::Min(high, x);
#else
  return hn::IfThenElse(hn::Gt(x, high), high, x);
#endif
}

/// exceeds(), lane by lane. (hn::Ne of a NaN is false on AVX2.)
HWY_INLINE auto exceeding(FloatVector x, FloatVector best) {
  return hn::Or(hn::Lt(best, x), hn::AndNot(hn::Eq(x, x), hn::Eq(best, best)));
}

template <Activation::Kind kKind>
HWY_INLINE FloatVector activate(FloatVector x, FloatVector slope) {
  const Floats d;
  if constexpr (kKind == Activation::Kind::kRelu) return at_least(hn::Zero(d), x);
  if constexpr (kKind == Activation::Kind::kRelu6) return at_most(hn::Set(d, 6.0f), at_least(hn::Zero(d), x));
  if constexpr (kKind == Activation::Kind::kLeakyRelu)
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, slope));
  return x;
}

/// Calls body.template run<kind>() for the run-time kind: inner loops are free of the choice. A function of numbers is
/// applied afterwards (elementwise.h).
template <class Body>
HWY_INLINE void with_activation(Activation::Kind kind, const Body& body) {
  switch (kind) {
    case Activation::Kind::kNone:
    case Activation::Kind::kFunction:
      return body.template run<Activation::Kind::kNone>();
    case Activation::Kind::kRelu:
      return body.template run<Activation::Kind::kRelu>();
    case Activation::Kind::kRelu6:
      return body.template run<Activation::Kind::kRelu6>();
    case Activation::Kind::kLeakyRelu:
      return body.template run<Activation::Kind::kLeakyRelu>();
  }
}

/// AVX2 and AVX-512 skip masked lanes in memory; elsewhere Highway reads whole vectors and blends.
#undef VOXSHIFT_MASKED_MEMORY
#define VOXSHIFT_MASKED_MEMORY (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL)

/// The first `count` lanes at p; the rest is 0, and nothing beyond them is read.
HWY_INLINE FloatVector load_some(const float* p, std::int64_t count) {
#if VOXSHIFT_MASKED_MEMORY
  return hn::MaskedLoad(hn::FirstN(Floats(), static_cast<std::size_t>(count)), Floats(), p);
#else
  HWY_ALIGN float lanes[kLanes] = {};
  std::copy_n(p, count, lanes);
  return hn::Load(Floats(), lanes);
#endif
}

HWY_INLINE void store_some(FloatVector x, float* p, std::int64_t count) {
#if VOXSHIFT_MASKED_MEMORY
  hn::BlendedStore(x, hn::FirstN(Floats(), static_cast<std::size_t>(count)), Floats(), p);
#else
  HWY_ALIGN float lanes[kLanes];
  hn::Store(x, Floats(), lanes);
  std::copy_n(lanes, count, p);
#endif
}

/// The `count` lanes at p, at most a whole vector.
HWY_INLINE FloatVector load_lanes(const float* p, std::int64_t count) {
  return count == kLanes ? hn::LoadU(Floats(), p) : load_some(p, count);
}

HWY_INLINE void store_lanes(FloatVector x, float* p, std::int64_t count) {
  if (count == kLanes) {
    hn::StoreU(x, Floats(), p);
  } else {
    store_some(x, p, count);
  }
}

/// acc[r] = bias, or 0.
HWY_INLINE void start_rows(const float* bias, std::int64_t channels, float* acc, std::int64_t acc_stride,
                           std::int64_t rows) {
  std::fill_n(acc, bias ? acc_stride : acc_stride * rows, 0.0f);
  if (bias == nullptr) return;
  std::copy_n(bias, channels, acc);
  for (std::int64_t r = 1; r < rows; ++r)
    std::memcpy(acc + r * acc_stride, acc, static_cast<std::size_t>(acc_stride) * sizeof(float));
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
