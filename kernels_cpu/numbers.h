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

/// AVX2 and later, and 64-bit Arm, have instructions for f16.
#undef VOXSHIFT_HALF_INSTRUCTIONS
#define VOXSHIFT_HALF_INSTRUCTIONS \
  (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64)

/// kLanes f16 as f32, exactly: from_half(), lane by lane.
HWY_INLINE FloatVector from_halves(const std::uint16_t* p) {
#if VOXSHIFT_HALF_INSTRUCTIONS
  const hn::Rebind<hwy::float16_t, Floats> halves;
  return hn::PromoteTo(Floats(), hn::LoadU(halves, reinterpret_cast<const hwy::float16_t*>(p)));
#else
  const Ints d;
  const auto half = hn::PromoteTo(d, hn::LoadU(HalfWords(), p));
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(d, 0x8000)));
  const auto rest = hn::And(half, hn::Set(d, 0x7FFF));
  const auto small = hn::BitCast(d, hn::Mul(hn::ConvertTo(Floats(), rest), hn::Set(Floats(), 0x1p-24f)));
  const auto finite = hn::Lt(rest, hn::Set(d, 0x7C00));
  const auto exponent = hn::IfThenElse(finite, hn::Set(d, 112 << 23), hn::Set(d, 224 << 23));
  const auto size = hn::Add(hn::ShiftLeft<13>(rest), exponent);
  return hn::BitCast(Floats(), hn::Or(sign, hn::IfThenElse(hn::Lt(rest, hn::Set(d, 0x400)), small, size)));
#endif
}

/// to_half(), lane by lane.
HWY_INLINE void to_halves(FloatVector x, std::uint16_t* p) {
#if VOXSHIFT_HALF_INSTRUCTIONS
  const hn::Rebind<hwy::float16_t, Floats> halves;
  hn::StoreU(hn::DemoteTo(halves, x), halves, reinterpret_cast<hwy::float16_t*>(p));
#else
  const Ints d;
  const auto bits = hn::BitCast(d, x);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000));
  const auto size = hn::And(bits, hn::Set(d, 0x7FFFFFFF));
  const auto rounded_small = hn::Add(hn::BitCast(Floats(), size), hn::Set(Floats(), 0.5f));
  const auto small = hn::Sub(hn::BitCast(d, rounded_small), hn::Set(d, 0x3F000000));
  const auto odd = hn::And(hn::ShiftRight<13>(size), hn::Set(d, 1));
  const auto rounded = hn::ShiftRight<13>(hn::Add(hn::Add(size, hn::Set(d, 0xFFF)), odd));
  auto half = hn::IfThenElse(hn::Lt(size, hn::Set(d, 0x38800000)), small, hn::Sub(rounded, hn::Set(d, 112 << 10)));
  half = hn::IfThenElse(hn::Lt(size, hn::Set(d, 0x477FF000)), half, hn::Set(d, 0x7C00));  // 65520
  half = hn::IfThenElse(hn::Gt(size, hn::Set(d, 0x7F800000)), hn::Set(d, 0x7E00), half);  // NaN
  hn::StoreU(hn::DemoteTo(HalfWords(), hn::Or(sign, half)), HalfWords(), p);
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
  hn::StoreU(hn::DemoteTo(HalfWords(), high), HalfWords(), p);
}

/// Whole numbers, and these as f32.
HWY_INLINE hn::Vec<Ints> whole_bytes(const std::int8_t* p) { return hn::PromoteTo(Ints(), hn::LoadU(Bytes(), p)); }
HWY_INLINE FloatVector from_bytes(const std::int8_t* p) { return hn::ConvertTo(Floats(), whole_bytes(p)); }

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

/// The first `count` of at most kLanes numbers at p, the others 0, in memory for whole vectors.
template <class T>
class SomeNumbers {
 public:
  HWY_INLINE SomeNumbers(const T* p, std::int64_t count) { std::copy_n(p, count, lanes_); }
  HWY_INLINE const T* data() const { return lanes_; }

 private:
  T lanes_[kLanes] = {};
};

/// Where row `row` of a view starts.
template <class Byte, class View>
HWY_INLINE Byte* row_bytes(const View& view, std::int64_t row) {
  return static_cast<Byte*>(view.base) + row * view.row_stride * static_cast<std::int64_t>(size_of(view.dtype));
}

/// One row of numbers of a dtype known to the compiler, read as f32.
template <DType kType>
class TypedRow {
 public:
  HWY_INLINE TypedRow(const std::byte* row, const float* scale) : row_(row), scale_(scale) {}
  HWY_INLINE TypedRow(const ConstRowView& view, std::int64_t row)
      : TypedRow(row_bytes<const std::byte>(view, row), view.scales.scale) {}

  /// Channels [c, c + count), count <= kLanes; the other lanes are 0.
  HWY_INLINE FloatVector operator()(std::int64_t c, std::int64_t count = kLanes) const {
    if constexpr (kType == DType::kF32) {
      return load_lanes(reinterpret_cast<const float*>(row_) + c, count);
    } else if constexpr (kType == DType::kI8) {
      const auto* const p = reinterpret_cast<const std::int8_t*>(row_) + c;
      const FloatVector whole = count == kLanes ? from_bytes(p) : from_bytes(SomeNumbers<std::int8_t>(p, count).data());
      return hn::Mul(whole, load_lanes(scale_ + c, count));
    } else {
      const auto* const p = reinterpret_cast<const std::uint16_t*>(row_) + c;
      return count == kLanes ? wide(p) : wide(SomeNumbers<std::uint16_t>(p, count).data());
    }
  }

 private:
  static HWY_INLINE FloatVector wide(const std::uint16_t* p) {
    return kType == DType::kF16 ? from_halves(p) : from_bfloats(p);
  }

  const std::byte* row_;
  const float* scale_;
};

/// One row that is read as f32, of a dtype that a view tells.
class RowReader {
 public:
  HWY_INLINE RowReader(const ConstRowView& view, std::int64_t row)
      : row_(row_bytes<const std::byte>(view, row)), scale_(view.scales.scale), dtype_(view.dtype) {}

  /// Channels [c, c + count), count <= kLanes; the other lanes are 0.
  HWY_INLINE FloatVector operator()(std::int64_t c, std::int64_t count = kLanes) const {
    if (dtype_ == DType::kF32) return TypedRow<DType::kF32>(row_, scale_)(c, count);
    if (dtype_ == DType::kI8) return TypedRow<DType::kI8>(row_, scale_)(c, count);
    if (dtype_ == DType::kF16) return TypedRow<DType::kF16>(row_, scale_)(c, count);
    return TypedRow<DType::kBF16>(row_, scale_)(c, count);
  }

 private:
  const std::byte* row_;
  const float* scale_;
  DType dtype_;
};

/// One row that f32 is written to.
class NumberWriter {
 public:
  HWY_INLINE NumberWriter(const RowView& view, std::int64_t row)
      : row_(row_bytes<std::byte>(view, row)), inverse_(view.scales.inverse), dtype_(view.dtype) {}

  /// Channels [c, c + count), count <= kLanes.
  HWY_INLINE void operator()(FloatVector x, std::int64_t c, std::int64_t count = kLanes) const {
    if (dtype_ == DType::kF32) return store_lanes(x, reinterpret_cast<float*>(row_) + c, count);
    if (dtype_ == DType::kI8) {
      auto* const p = reinterpret_cast<std::int8_t*>(row_) + c;
      const FloatVector scaled = to_range(x, load_lanes(inverse_ + c, count));
      if (count == kLanes) return store_bytes(scaled, p);
      std::int8_t some[kLanes];
      store_bytes(scaled, some);
      std::copy_n(some, count, p);
      return;
    }
    auto* const p = reinterpret_cast<std::uint16_t*>(row_) + c;
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
  std::byte* row_;
  const float* inverse_;
  DType dtype_;
};

/// Calls body.template run<dtype>() for the dtype of features: inner loops are free of the choice.
template <class Body>
HWY_INLINE void with_numbers(DType dtype, const Body& body) {
  if (dtype == DType::kF32) return body.template run<DType::kF32>();
  if (dtype == DType::kI8) return body.template run<DType::kI8>();
  if (dtype == DType::kF16) return body.template run<DType::kF16>();
  body.template run<DType::kBF16>();
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
