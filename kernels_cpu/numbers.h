// Rows of numbers of any dtype, read as f32 and rounded to nearest when written. Compiled once per instruction set,
// like matmul.h.
#if defined(VOXSHIFT_KERNELS_CPU_NUMBERS_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VOXSHIFT_KERNELS_CPU_NUMBERS_H
#undef VOXSHIFT_KERNELS_CPU_NUMBERS_H
#else
#define VOXSHIFT_KERNELS_CPU_NUMBERS_H
#endif

#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/tensor/half.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/row_view.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Floats>;
using Words = hn::RebindToUnsigned<Floats>;
using HalfWords = hn::Rebind<std::uint16_t, Floats>;
using Bytes = hn::Rebind<std::int8_t, Floats>;

/// kLanes f16 as f32, exactly.
HWY_INLINE FloatVector from_halves(const std::uint16_t* p) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
  const hn::Rebind<hwy::float16_t, Floats> halves;
  return hn::PromoteTo(Floats(), hn::LoadU(halves, reinterpret_cast<const hwy::float16_t*>(p)));
#else
  HWY_ALIGN float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = from_half(p[i]);
  return hn::Load(Floats(), lanes);
#endif
}

HWY_INLINE void to_halves(FloatVector x, std::uint16_t* p) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
  const hn::Rebind<hwy::float16_t, Floats> halves;
  hn::StoreU(hn::DemoteTo(halves, x), halves, reinterpret_cast<hwy::float16_t*>(p));
#else
  HWY_ALIGN float lanes[kLanes];
  hn::Store(x, Floats(), lanes);
  for (int i = 0; i < kLanes; ++i) p[i] = to_half(lanes[i]);
#endif
}

HWY_INLINE FloatVector from_bfloats(const std::uint16_t* p) {
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(Words(), hn::LoadU(HalfWords(), p))));
}

/// to_bfloat(), lane by lane.
HWY_INLINE void to_bfloats(FloatVector x, std::uint16_t* p) {
  const Words d;
  const auto bits = hn::BitCast(d, x);
  const auto even = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(d, 0x7FFF)), even);
  const auto nan = hn::Or(bits, hn::Set(d, 0x400000));
  const auto word = hn::IfThenElse(hn::RebindMask(d, hn::Eq(x, x)), rounded, nan);
  const auto high = hn::BitCast(Ints(), hn::ShiftRight<16>(word));
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2 || HWY_ARCH_ARM_A64
  hn::StoreU(hn::DemoteTo(HalfWords(), high), HalfWords(), p);
#else
  HWY_ALIGN std::int32_t lanes[kLanes];
  hn::Store(high, Ints(), lanes);
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint16_t>(lanes[i]);
#endif
}

HWY_INLINE FloatVector from_bytes(const std::int8_t* p) {
  return hn::ConvertTo(Floats(), hn::PromoteTo(Ints(), hn::LoadU(Bytes(), p)));
}

/// x * inverse, 0 where it is NaN, not beyond +-127: store_bytes() of it is to_i8(), lane by lane.
HWY_INLINE FloatVector to_range(FloatVector x, FloatVector inverse) {
  const Floats d;
  FloatVector scaled = hn::Mul(x, inverse);
  scaled = hn::IfThenElseZero(hn::Eq(scaled, scaled), scaled);
  return at_most(hn::Set(d, kMostI8), at_least(hn::Set(d, -kMostI8), scaled));
}

/// Numbers of -127..127 as i8, to the nearest whole number, ties to even: 1.5 * 2^23 has an ulp of 1, so that the
/// addition rounds.
HWY_INLINE void store_bytes(FloatVector x, std::int8_t* p) {
  constexpr float kOnes = 0x1.8p23f;
  const auto ones = hn::Add(x, hn::Set(Floats(), kOnes));
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  const hn::Rebind<std::uint8_t, Floats> last;  // byte of a word is the number's: one instruction
  hn::StoreU(hn::TruncateTo(last, hn::BitCast(Words(), ones)), last, reinterpret_cast<std::uint8_t*>(p));
#else
  const auto whole = hn::Sub(hn::BitCast(Ints(), ones), hn::Set(Ints(), std::bit_cast<std::int32_t>(kOnes)));
  hn::StoreU(hn::DemoteTo(Bytes(), whole), Bytes(), p);
#endif
}

/// One row that is read as f32.
class RowReader {
 public:
  RowReader(const ConstRowView& view, std::int64_t row)
      : base_(static_cast<const std::byte*>(view.base) +
              row * view.row_stride * static_cast<std::int64_t>(size_of(view.dtype))),
        scale_(view.scales.scale),
        dtype_(view.dtype) {}

  /// Channels [c, c + count), count <= kLanes; the other lanes are 0.
  HWY_INLINE FloatVector operator()(std::int64_t c, std::int64_t count = kLanes) const {
    if (dtype_ == DType::kF32) return load_lanes(reinterpret_cast<const float*>(base_) + c, count);
    if (dtype_ == DType::kI8) {
      const auto* p = reinterpret_cast<const std::int8_t*>(base_) + c;
      if (count == kLanes) return hn::Mul(from_bytes(p), hn::LoadU(Floats(), scale_ + c));
      std::int8_t some[kLanes] = {};
      std::copy_n(p, count, some);
      return hn::Mul(from_bytes(some), load_some(scale_ + c, count));
    }
    const auto* p = reinterpret_cast<const std::uint16_t*>(base_) + c;
    std::uint16_t some[kLanes] = {};
    if (count < kLanes) p = std::copy_n(p, count, some) - count;
    return dtype_ == DType::kF16 ? from_halves(p) : from_bfloats(p);
  }

 private:
  const std::byte* base_;
  const float* scale_;
  DType dtype_;
};

/// One row that f32 is written to.
class NumberWriter {
 public:
  NumberWriter(const RowView& view, std::int64_t row)
      : base_(static_cast<std::byte*>(view.base) +
              row * view.row_stride * static_cast<std::int64_t>(size_of(view.dtype))),
        inverse_(view.scales.inverse),
        dtype_(view.dtype) {}

  /// Channels [c, c + count), count <= kLanes.
  HWY_INLINE void operator()(FloatVector x, std::int64_t c, std::int64_t count = kLanes) const {
    if (dtype_ == DType::kF32) return store_lanes(x, reinterpret_cast<float*>(base_) + c, count);
    if (dtype_ == DType::kI8) {
      auto* p = reinterpret_cast<std::int8_t*>(base_) + c;
      const FloatVector scaled = to_range(x, load_lanes(inverse_ + c, count));
      if (count == kLanes) return store_bytes(scaled, p);
      std::int8_t some[kLanes];
      store_bytes(scaled, some);
      std::copy_n(some, count, p);
      return;
    }
    auto* p = reinterpret_cast<std::uint16_t*>(base_) + c;
    std::uint16_t some[kLanes];
    auto* const to = count == kLanes ? p : some;
    if (dtype_ == DType::kF16) {
      to_halves(x, to);
    } else {
      to_bfloats(x, to);
    }
    if (count < kLanes) std::copy_n(some, count, p);
  }

 private:
  std::byte* base_;
  const float* inverse_;
  DType dtype_;
};

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
