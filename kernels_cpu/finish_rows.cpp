#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_rows.h>

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/finish_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/numbers.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Sums as f32 with the bias, of channels [c, c + kLanes).
struct F32Sums {
  F32Sums(const FinishedRows&, std::int64_t, std::int64_t) {}
  HWY_INLINE FloatVector operator()(const float* sums) const { return hn::Load(Floats(), sums); }
};

struct I8Sums {
  I8Sums(const FinishedRows& job, std::int64_t c, std::int64_t count)
      : multiplier(hn::LoadU(Floats(), job.multiplier + c)),
        bias(job.epilogue.bias != nullptr ? load_lanes(job.epilogue.bias + c, count) : hn::Zero(Floats())),
        has_bias(job.epilogue.bias != nullptr) {}
  HWY_INLINE FloatVector operator()(const float* sums) const {
    const FloatVector q = hn::ConvertTo(Floats(), hn::Load(Ints(), reinterpret_cast<const std::int32_t*>(sums)));
    const FloatVector x = hn::Mul(q, multiplier);
    return has_bias ? hn::Add(x, bias) : x;
  }

  FloatVector multiplier, bias;
  bool has_bias;  // -0 + 0 is another number
};

/// Channels [c, c + count) of rows from `first` on, as f32.
class ColumnReader {
 public:
  ColumnReader(const ConstRowView& view, std::int64_t first, std::int64_t c, std::int64_t count)
      : dtype_(view.dtype), count_(count), scale_(hn::Zero(Floats())) {
    const std::int64_t size = dtype_ == DType::kF32 ? 4 : dtype_ == DType::kI8 ? 1 : 2;
    step_ = view.row_stride * size;
    base_ = static_cast<const std::byte*>(view.base) + first * step_ + c * size;
    if (dtype_ == DType::kI8) scale_ = load_lanes(view.scales.scale + c, count);
  }

  HWY_INLINE FloatVector operator()(std::int64_t row) const {
    const std::byte* p = base_ + row * step_;
    if (dtype_ == DType::kF32) return load_lanes(reinterpret_cast<const float*>(p), count_);
    alignas(16) std::byte some[kLanes * 2] = {};
    if (count_ < kLanes) {
      std::copy_n(p, dtype_ == DType::kI8 ? count_ : 2 * count_, some);
      p = some;
    }
    if (dtype_ == DType::kI8) return hn::Mul(from_bytes(reinterpret_cast<const std::int8_t*>(p)), scale_);
    const auto* const halves = reinterpret_cast<const std::uint16_t*>(p);
    return dtype_ == DType::kF16 ? from_halves(halves) : from_bfloats(halves);
  }

 private:
  const std::byte* base_;
  std::int64_t step_;
  DType dtype_;
  std::int64_t count_;
  FloatVector scale_;
};

/// A few rows at a time, which stay in L1, and of them a vector of channels at a time, whose scales stay in registers.
template <class Sums, DType kOut>
struct FinishAs {
  static constexpr std::int64_t kRows = 16;
  static constexpr std::int64_t kSize = kOut == DType::kI8 ? 1 : kOut == DType::kF32 ? 4 : 2;

  const FinishedRows& job;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    for (std::int64_t r = 0; r < job.rows; r += kRows)
      for (std::int64_t c = 0; c < job.out.channels; c += kLanes)
        columns<kKind>(r, std::min(job.rows, r + kRows), c, std::min<std::int64_t>(kLanes, job.out.channels - c));
  }

  template <Activation::Kind kKind>
  HWY_INLINE void columns(std::int64_t r, std::int64_t last, std::int64_t c, std::int64_t count) const {
    const Sums sum(job, c, count);
    const FloatVector slope = hn::Set(Floats(), job.epilogue.activation.slope);
    const Scales& scales = job.out.scales;
    const FloatVector inverse = kOut == DType::kI8 ? load_lanes(scales.inverse + c, count) : hn::Zero(Floats());
    const std::int64_t sums_step = job.sums_stride, step = job.out.row_stride * kSize;
    const float* sums = static_cast<const float*>(job.sums) + r * sums_step + c;
    std::byte* to = static_cast<std::byte*>(job.out.base) + ((job.first + r) * job.out.row_stride + c) * kSize;
    if (job.epilogue.residual.base == nullptr) {
      for (; r < last; ++r, sums += sums_step, to += step) store(activate<kKind>(sum(sums), slope), to, inverse, count);
      return;
    }
    const ColumnReader residual(job.epilogue.residual, job.first + r, c, count);
    const bool residual_last = job.epilogue.residual_last;
    const std::int64_t rows = last - r;
    for (std::int64_t i = 0; i < rows; ++i, sums += sums_step, to += step) {
      const FloatVector other = residual(i), x = sum(sums);
      const FloatVector y =
          residual_last ? hn::Add(activate<kKind>(x, slope), other) : activate<kKind>(hn::Add(x, other), slope);
      store(y, to, inverse, count);
    }
  }

  static HWY_INLINE void store(FloatVector x, std::byte* to, FloatVector inverse, std::int64_t count) {
    if constexpr (kOut == DType::kF32) {
      store_lanes(x, reinterpret_cast<float*>(to), count);
    } else {
      using Number = std::conditional_t<kOut == DType::kI8, std::int8_t, std::uint16_t>;
      Number some[kLanes];
      Number* const p = count == kLanes ? reinterpret_cast<Number*>(to) : some;
      if constexpr (kOut == DType::kI8) store_bytes(to_range(x, inverse), p);
      if constexpr (kOut == DType::kF16) to_halves(x, p);
      if constexpr (kOut == DType::kBF16) to_bfloats(x, p);
      if (count < kLanes) std::copy_n(some, count, reinterpret_cast<Number*>(to));
    }
  }
};

template <class Sums>
void finish_sums(const FinishedRows& job) {
  const Activation::Kind kind = job.epilogue.activation.kind;
  switch (job.out.dtype) {
    case DType::kI8:
      return with_activation(kind, FinishAs<Sums, DType::kI8>{job});
    case DType::kF16:
      return with_activation(kind, FinishAs<Sums, DType::kF16>{job});
    case DType::kBF16:
      return with_activation(kind, FinishAs<Sums, DType::kBF16>{job});
    default:
      return with_activation(kind, FinishAs<Sums, DType::kF32>{job});
  }
}

// A function of numbers takes rows of f32: the sums become such rows first.
void finish_function_rows(const FinishedRows& job) {
  const RowView rows{job.sums, job.sums_stride, job.rows, job.out.channels};
  Epilogue before = job.epilogue, after;
  before.activation = {};
  if (before.residual.base != nullptr) {
    const ConstRowView residual = before.residual.rows(job.first, job.rows);
    before.residual = job.epilogue.residual_last ? ConstRowView{} : residual;
    if (job.epilogue.residual_last) after.residual = job.epilogue.residual;
  }
  const FinishedRows sums{before, job.sums, job.sums_stride, 0, job.rows, rows, job.multiplier};
  if (job.multiplier != nullptr) {
    finish_sums<I8Sums>(sums);
  } else if (before.residual.base != nullptr) {
    finish_sums<F32Sums>(sums);
  }
  apply_function(job.epilogue.activation, rows);
  finish_sums<F32Sums>({after, job.sums, job.sums_stride, job.first, job.rows, job.out});
}

void finish_any(const FinishedRows& job) {
  if (job.epilogue.activation.kind == Activation::Kind::kFunction) return finish_function_rows(job);
  job.multiplier != nullptr ? finish_sums<I8Sums>(job) : finish_sums<F32Sums>(job);
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(finish_any);

void finish_rows(const FinishedRows& rows) { HWY_DYNAMIC_DISPATCH(finish_any)(rows); }

}  // namespace voxshift::cpu
#endif
