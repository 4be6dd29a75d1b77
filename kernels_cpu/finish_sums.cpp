// What becomes of the sums of a product: numbers of any dtype.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_sums.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/finish_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/bound_quantizer.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// `count` of a vector's numbers: halves of vectors are common, 24 channels.
template <class T>
HWY_INLINE void copy_few(const T* from, std::int64_t count, T* to) {
  if constexpr (kLanes > 8) {
    if (count == 8) {
      std::memcpy(to, from, 8 * sizeof(T));
      return;
    }
  }
  std::copy_n(from, count, to);
}

/// Vectors of f32 to numbers of one dtype at p: store(x, p, count).
struct FloatStore {
  static constexpr bool kQuantized = false;
  using Number = float;
  static HWY_INLINE void store(FloatVector x, float* p, std::int64_t count) { store_lanes(x, p, count); }
};
template <bool kHalf>
struct NarrowStore {  // f16 or bf16
  static constexpr bool kQuantized = false;
  static constexpr bool kIsHalf = kHalf;
  using Number = std::uint16_t;
  static HWY_INLINE void store(FloatVector x, std::uint16_t* p, std::int64_t count) {
    std::uint16_t some[kLanes];
    std::uint16_t* const to = count == kLanes ? p : some;
    if constexpr (kHalf) {
      to_halves(x, to);
    } else {
      to_bfloats(x, to);
    }
    if (count < kLanes) copy_few(some, count, p);
  }
};
/// Of -127..127, to the nearest whole number.
struct ByteStore {
  static constexpr bool kQuantized = true;
  using Number = std::int8_t;
  static HWY_INLINE void store(FloatVector x, std::int8_t* p, std::int64_t count) {
    if (count == kLanes) return store_bytes(x, p);
    std::int8_t some[kLanes];
    store_bytes(x, some);
    copy_few(some, count, p);
  }
};
/// The same as whole numbers of f32.
struct WholeStore {
  static constexpr bool kQuantized = true;
  using Number = float;
  static HWY_INLINE void store(FloatVector x, float* p, std::int64_t count) { store_lanes(hn::Round(x), p, count); }
};

/// A vector of sums with multiplier and bias.
struct WholeSum {
  HWY_INLINE FloatVector operator()(const float* sums) const {
    const auto whole = hn::LoadU(Ints(), reinterpret_cast<const std::int32_t*>(sums));
    return hn::Add(hn::Mul(hn::ConvertTo(Floats(), whole), multiplier), bias);
  }
  FloatVector multiplier, bias;
};
struct ScaledSum {
  HWY_INLINE FloatVector operator()(const float* sums) const {
    return hn::Add(hn::Mul(hn::LoadU(Floats(), sums), multiplier), bias);
  }
  FloatVector multiplier, bias;
};
struct BiasedSum {
  HWY_INLINE FloatVector operator()(const float* sums) const { return hn::Add(hn::LoadU(Floats(), sums), bias); }
  FloatVector bias;
};
struct ReadySum {
  HWY_INLINE FloatVector operator()(const float* sums) const { return hn::LoadU(Floats(), sums); }
};

/// x plus what row r of the residual has: nothing, numbers of i8, or of any dtype.
struct NoResidual {
  HWY_INLINE FloatVector operator()(FloatVector x, std::int64_t) const { return x; }
};
struct ByteResidual {
  ByteResidual(const ConstRowView& rows, std::int64_t c, std::int64_t channels)
      : base(static_cast<const std::int8_t*>(rows.base) + c),
        stride(rows.row_stride),
        scale(load_scales(rows.scales.scale + c, channels)),
        count(channels) {}
  HWY_INLINE FloatVector operator()(FloatVector x, std::int64_t r) const {
    const std::int8_t* p = base + r * stride;
    std::int8_t some[kLanes] = {};
    if (count < kLanes) {
      copy_few(p, count, some);
      p = some;
    }
    return hn::Add(x, hn::Mul(from_bytes(p), scale));
  }
  const std::int8_t* base;
  std::int64_t stride;
  FloatVector scale;
  std::int64_t count;
};
template <bool kHalf>
struct NarrowResidual {  // f16 or bf16
  NarrowResidual(const ConstRowView& rows, std::int64_t c, std::int64_t channels)
      : base(static_cast<const std::uint16_t*>(rows.base) + c), stride(rows.row_stride), count(channels) {}
  HWY_INLINE FloatVector operator()(FloatVector x, std::int64_t r) const {
    const std::uint16_t* p = base + r * stride;
    std::uint16_t some[kLanes] = {};
    if (count < kLanes) {
      copy_few(p, count, some);
      p = some;
    }
    return hn::Add(x, kHalf ? from_halves(p) : from_bfloats(p));
  }
  const std::uint16_t* base;
  std::int64_t stride, count;
};
struct AnyResidual {
  HWY_INLINE FloatVector operator()(FloatVector x, std::int64_t r) const {
    return rows.base != nullptr ? hn::Add(x, RowReader(rows, r)(c, count)) : x;
  }
  const ConstRowView& rows;
  std::int64_t c, count;
};

/// x as a number of -127..127 before it is rounded: to_i8() of clamp(x).
struct AnyQuantizer {
  HWY_INLINE FloatVector operator()(FloatVector x) const { return to_range(clamp(x), inverse); }
  FloatVector inverse;
  const Clamp& clamp;
};

/// Channels [c, c + count) of all rows, store(make(add(sum))).
template <class Store, class Sum, class Residual, class Make>
HWY_INLINE void finish_channels(const FinishSums& job, std::int64_t c, std::int64_t count, const Sum sum,
                                const Residual add, const Make make) {
  auto* const out = static_cast<typename Store::Number*>(job.out.base) + c;
  const auto* sums = static_cast<const float*>(job.sums) + c;
  const std::int64_t rows = job.rows, stride = job.stride, out_stride = job.out.row_stride;
  const std::int32_t *const residual_rows = job.residual_rows, *const out_rows = job.out_rows;
  if (count == kLanes && residual_rows == nullptr && out_rows == nullptr) {
    auto* to = out;
    for (std::int64_t r = 0; r < rows; ++r, sums += stride, to += out_stride)
      Store::store(make(add(sum(sums), r)), to, kLanes);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r, sums += stride)
    Store::store(make(add(sum(sums), residual_rows != nullptr ? residual_rows[r] : r)),
                 out + (out_rows != nullptr ? out_rows[r] : r) * out_stride, count);
}

template <class Store, class Sum>
HWY_INLINE void finish_bytes(const FinishSums& job, const Clamp& clamp, const float* inverse, std::int64_t c,
                             std::int64_t count, const Sum& sum) {
  const FloatVector scale = load_scales(inverse + c, count);
  if (job.finite && !clamp.leaky() && usual(scale)) {
    const BoundQuantizer make(clamp, scale);
    if (job.residual.base == nullptr) return finish_channels<Store>(job, c, count, sum, NoResidual(), make);
    if (job.residual.dtype == DType::kI8) {
      const ByteResidual residual(job.residual, c, count);
      if (usual(residual.scale)) return finish_channels<Store>(job, c, count, sum, residual, make);
    }
  }
  finish_channels<Store>(job, c, count, sum, AnyResidual{job.residual, c, count}, AnyQuantizer{scale, clamp});
}

template <class Store, class Sum>
HWY_INLINE void finish_plain(const FinishSums& job, const Clamp& clamp, std::int64_t c, std::int64_t count,
                             const Sum& sum) {
  if (!clamp.leaky()) {
    const auto make = [bounds = clamp](FloatVector x) HWY_ATTR { return bounds.bound(x); };
    if (job.residual.base == nullptr) return finish_channels<Store>(job, c, count, sum, NoResidual(), make);
    if constexpr (sizeof(typename Store::Number) == sizeof(std::uint16_t)) {
      const NarrowResidual<Store::kIsHalf> residual(job.residual, c, count);
      if (job.residual.dtype == job.out.dtype) return finish_channels<Store>(job, c, count, sum, residual, make);
    }
  }
  finish_channels<Store>(job, c, count, sum, AnyResidual{job.residual, c, count},
                         [&clamp](FloatVector x) HWY_ATTR { return clamp(x); });
}

/// All channels as `Store` has them; inverse: null but for those of whole numbers.
template <class Store>
HWY_NOINLINE void finish_as(const FinishSums& job, const float* inverse) {
  const Floats d;
  const Clamp clamp(job.activation);
  // Where nothing is read that has been written, the last vector is a whole one, and some channels are finished twice.
  const bool apart = job.out.channels >= kLanes && job.out.base != job.sums && job.out.base != job.residual.base;
  for (std::int64_t next = 0; next < job.out.channels; next += kLanes) {
    const std::int64_t c = apart ? std::min(next, job.out.channels - kLanes) : next;
    const std::int64_t count = std::min<std::int64_t>(kLanes, job.out.channels - c);
    const auto finish = [&](const auto& sum) HWY_ATTR {
      if constexpr (Store::kQuantized) {
        finish_bytes<Store>(job, clamp, inverse, c, count, sum);
      } else {
        finish_plain<Store>(job, clamp, c, count, sum);
      }
    };
    const FloatVector bias = job.bias != nullptr ? hn::LoadU(d, job.bias + c) : hn::Zero(d);
    if (job.whole) {
      finish(WholeSum{hn::LoadU(d, job.multiplier + c), bias});
    } else if (job.multiplier != nullptr) {
      finish(ScaledSum{hn::LoadU(d, job.multiplier + c), bias});
    } else if (job.bias != nullptr) {
      finish(BiasedSum{bias});
    } else {
      finish(ReadySum());
    }
  }
}

void finish_sums_vector(const FinishSums& job) {
  if (job.inverse != nullptr) return finish_as<WholeStore>(job, job.inverse);
  switch (job.out.dtype) {
    case DType::kI8:
      return finish_as<ByteStore>(job, job.out.scales.inverse);
    case DType::kF16:
      return finish_as<NarrowStore<true>>(job, nullptr);
    case DType::kBF16:
      return finish_as<NarrowStore<false>>(job, nullptr);
    default:
      return finish_as<FloatStore>(job, nullptr);
  }
}

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
