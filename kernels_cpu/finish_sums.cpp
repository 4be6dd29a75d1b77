// What becomes of the sums of a product: numbers of any dtype.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_sums.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/finish_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>
#include <voxshift/kernels_cpu/pixel_tile.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Vectors of f32 to numbers of one dtype at p: store(x, p, count).
struct FloatStore {
  using Number = float;
  HWY_INLINE void operator()(FloatVector x, float* p, std::int64_t count) const { store_lanes(x, p, count); }
};
struct HalfStore {
  using Number = std::uint16_t;
  HWY_INLINE void operator()(FloatVector x, std::uint16_t* p, std::int64_t count) const {
    if (count == kLanes) return to_halves(x, p);
    std::uint16_t some[kLanes];
    to_halves(x, some);
    std::copy_n(some, count, p);
  }
};
struct BfloatStore {
  using Number = std::uint16_t;
  HWY_INLINE void operator()(FloatVector x, std::uint16_t* p, std::int64_t count) const {
    if (count == kLanes) return to_bfloats(x, p);
    std::uint16_t some[kLanes];
    to_bfloats(x, some);
    std::copy_n(some, count, p);
  }
};
/// Numbers of -127..127.
struct ByteStore {
  using Number = std::int8_t;
  HWY_INLINE void operator()(FloatVector x, std::int8_t* p, std::int64_t count) const {
    if (count == kLanes) return hn::StoreU(hn::DemoteTo(Bytes(), hn::NearestInt(x)), Bytes(), p);
    std::int8_t some[kLanes];
    hn::StoreU(hn::DemoteTo(Bytes(), hn::NearestInt(x)), Bytes(), some);
    if (count == 8) {
      std::memcpy(p, some, 8);
    } else {
      std::copy_n(some, count, p);
    }
  }
};
/// The same as whole numbers of f32.
struct WholeStore {
  using Number = float;
  HWY_INLINE void operator()(FloatVector x, float* p, std::int64_t count) const { store_lanes(hn::Round(x), p, count); }
};

/// x as a number of -127..127 before it is rounded: to_i8() of clamp(x). Where x is finite and so is the inverse, one
/// pair of bounds is enough: products are rounded monotonously, so bound(x) * inverse = bound(x * inverse) with bounds
/// times inverse.
class Quantizer {
 public:
  HWY_INLINE Quantizer(const Clamp& clamp, const float* inverse, std::int64_t count, bool finite)
      : inverse_(load_lanes(inverse, count)), clamp_(clamp) {
    const Floats d;
    const auto most = hn::Set(d, kMostI8);
    low_ = at_least(hn::Neg(most), hn::Mul(hn::Set(d, clamp.low), inverse_));
    high_ = at_most(most, hn::Mul(hn::Set(d, clamp.high), inverse_));
    const auto usual = hn::Lt(inverse_, hn::Set(d, std::numeric_limits<float>::infinity()));
    simple_ = finite && !clamp.leaky() && hn::AllTrue(d, usual) && hn::AllTrue(d, hn::Gt(inverse_, hn::Zero(d)));
  }

  bool simple() const { return simple_; }
  HWY_INLINE FloatVector fast(FloatVector x) const { return at_most(high_, at_least(low_, hn::Mul(x, inverse_))); }
  HWY_INLINE FloatVector operator()(FloatVector x) const { return to_whole(clamp_(x), inverse_); }

 private:
  FloatVector inverse_, low_, high_;
  Clamp clamp_;
  bool simple_;
};

/// Channels [c, c + count) of all rows: make(x) is stored, where `make` includes the activation.
template <bool kWhole, class Store, class Make>
HWY_INLINE void finish_channels(const FinishSums& job, std::int64_t c, std::int64_t count, const Store& store,
                                const Make& make) {
  using Number = typename Store::Number;
  const Floats d;
  const FloatVector one = hn::Set(d, 1.0f);
  const FloatVector multiplier = job.multiplier != nullptr ? hn::LoadU(d, job.multiplier + c) : one;
  const FloatVector bias = job.bias != nullptr ? hn::LoadU(d, job.bias + c) : hn::Zero(d);
  const bool scaled = job.multiplier != nullptr, biased = job.bias != nullptr;
  auto* const out = static_cast<Number*>(job.out.base) + c;
  const auto* sums = static_cast<const float*>(job.sums) + c;
  for (std::int64_t r = 0; r < job.rows; ++r, sums += job.stride) {
    FloatVector x;
    if constexpr (kWhole) {
      x = hn::ConvertTo(d, hn::Load(Ints(), reinterpret_cast<const std::int32_t*>(sums)));
    } else {
      x = hn::Load(d, sums);
    }
    if (kWhole || scaled) x = hn::Mul(x, multiplier);
    if (kWhole || biased) x = hn::Add(x, bias);
    if (job.residual.base != nullptr) {
      const RowReader residual(job.residual, job.residual_rows != nullptr ? job.residual_rows[r] : r);
      x = hn::Add(x, residual(c, count));
    }
    store(make(x), out + (job.out_rows != nullptr ? job.out_rows[r] : r) * job.out.row_stride, count);
  }
}

template <bool kWhole, class Store>
HWY_NOINLINE void finish_plain(const FinishSums& job, const Clamp& clamp, const Store& store) {
  for (std::int64_t c = 0; c < job.out.channels; c += kLanes)
    finish_channels<kWhole>(job, c, std::min<std::int64_t>(kLanes, job.out.channels - c), store,
                            [&](FloatVector x) HWY_ATTR { return clamp(x); });
}

template <bool kWhole, class Store>
HWY_NOINLINE void finish_quantized(const FinishSums& job, const Clamp& clamp, const float* inverse,
                                   const Store& store) {
  const bool finite = job.finite && job.residual.base == nullptr;
  for (std::int64_t c = 0; c < job.out.channels; c += kLanes) {
    const std::int64_t count = std::min<std::int64_t>(kLanes, job.out.channels - c);
    const Quantizer quantizer(clamp, inverse + c, count, finite);
    if (quantizer.simple()) {
      finish_channels<kWhole>(job, c, count, store, [&](FloatVector x) HWY_ATTR { return quantizer.fast(x); });
    } else {
      finish_channels<kWhole>(job, c, count, store, [&](FloatVector x) HWY_ATTR { return quantizer(x); });
    }
  }
}

template <bool kWhole>
void finish_all(const FinishSums& job) {
  const Clamp clamp(job.activation);
  if (job.inverse != nullptr) return finish_quantized<kWhole>(job, clamp, job.inverse, WholeStore());
  switch (job.out.dtype) {
    case DType::kI8:
      return finish_quantized<kWhole>(job, clamp, job.out.scales.inverse, ByteStore());
    case DType::kF16:
      return finish_plain<kWhole>(job, clamp, HalfStore());
    case DType::kBF16:
      return finish_plain<kWhole>(job, clamp, BfloatStore());
    default:
      return finish_plain<kWhole>(job, clamp, FloatStore());
  }
}

void finish_sums_vector(const FinishSums& job) { job.whole ? finish_all<true>(job) : finish_all<false>(job); }

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(finish_sums_vector);

void finish_sums(const FinishSums& job) {
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sums_vector);
  if (job.activation.kind != Activation::Kind::kFunction) return finish(job);
  // A function has no vector code: what it is given takes the place of the sums.
  constexpr Activation kNone;
  const RowView given{job.sums, job.stride, job.rows, job.out.channels};
  FinishSums before{job.sums,   job.stride, job.rows,     job.whole,         job.multiplier, job.bias,
                    job.finite, kNone,      job.residual, job.residual_rows, given};
  finish(before);
  apply_function(job.activation, given);
  FinishSums after{job.sums, job.stride, job.rows, false, nullptr, nullptr, false, kNone};
  after.out = job.out;
  after.out_rows = job.out_rows;
  after.inverse = job.inverse;
  finish(after);
}

bool finite_epilogue(const float* multiplier, const float* bias, std::int64_t channels) {
  // 2^31 * 2^95 + 2^126 is finite.
  const auto within = [](float x, float most) { return std::abs(x) <= most; };
  for (std::int64_t o = 0; o < channels; ++o)
    if (!within(multiplier[o], 0x1p95f) || (bias != nullptr && !within(bias[o], 0x1p126f))) return false;
  return true;
}

}  // namespace voxshift::cpu
#endif
