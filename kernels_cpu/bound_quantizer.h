// Finite numbers on their way to i8. Compiled once per instruction set, like matmul.h.
#if defined(VOXSHIFT_KERNELS_CPU_BOUND_QUANTIZER_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_BOUND_QUANTIZER_H
#undef VOXSHIFT_KERNELS_CPU_BOUND_QUANTIZER_H
#else
#define VOXSHIFT_KERNELS_CPU_BOUND_QUANTIZER_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// to_range() of clamp(x) for x that is finite, a clamp that is not leaky and a usual() inverse: products are rounded
/// monotonously, so clamp(x) * inverse is x * inverse within the bounds times inverse, and one pair of bounds is
/// enough.
struct BoundQuantizer {
  BoundQuantizer(const Clamp& clamp, FloatVector inv) : inverse(inv) {
    const Floats d;
    const auto most = hn::Set(d, kMostI8);
    low = at_least(hn::Neg(most), hn::Mul(hn::Set(d, clamp.low), inverse));
    high = at_most(most, hn::Mul(hn::Set(d, clamp.high), inverse));
  }
  HWY_INLINE FloatVector operator()(FloatVector x) const { return at_most(high, at_least(low, hn::Mul(x, inverse))); }
  FloatVector inverse, low, high;
};

/// The `count` lanes at p, and 1 in the others.
HWY_INLINE FloatVector load_scales(const float* p, std::int64_t count) {
  const Floats d;
  return hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(count)), load_lanes(p, count), hn::Set(d, 1.0f));
}

/// Whether numbers that are multiplied by these stay finite and keep their sign.
HWY_INLINE bool usual(FloatVector scale) {
  const Floats d;
  return hn::AllTrue(d, hn::Lt(scale, hn::Set(d, 0x1p95f))) && hn::AllTrue(d, hn::Gt(scale, hn::Zero(d)));
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
