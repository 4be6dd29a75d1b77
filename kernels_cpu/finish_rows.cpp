#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_rows.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/finish_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/numbers.h>

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// One row of sums, as f32 with the bias.
struct F32Sums {
  F32Sums(const FinishedRows& job, std::int64_t r) : row(static_cast<const float*>(job.sums) + r * job.sums_stride) {}
  HWY_INLINE FloatVector operator()(std::int64_t c, std::int64_t) const { return hn::Load(Floats(), row + c); }

  const float* row;
};

struct I8Sums {
  I8Sums(const FinishedRows& job, std::int64_t r)
      : row(static_cast<const std::int32_t*>(job.sums) + r * job.sums_stride),
        multiplier(job.multiplier),
        bias(job.epilogue.bias) {}
  HWY_INLINE FloatVector operator()(std::int64_t c, std::int64_t count) const {
    const FloatVector q = hn::ConvertTo(Floats(), hn::Load(Ints(), row + c));
    const FloatVector x = hn::Mul(q, hn::LoadU(Floats(), multiplier + c));
    return bias != nullptr ? hn::Add(x, load_lanes(bias + c, count)) : x;
  }

  const std::int32_t* row;
  const float *multiplier, *bias;
};

template <class Sums, DType kOut>
struct FinishAs {
  const FinishedRows& job;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    const FloatVector slope = hn::Set(Floats(), job.epilogue.activation.slope);
    const ConstRowView& residual = job.epilogue.residual;
    const bool add_first = residual.base != nullptr && !job.epilogue.residual_last;
    const bool add_last = residual.base != nullptr && job.epilogue.residual_last;
    RowView out = job.out;
    out.dtype = kOut;  // known where this is compiled
    for (std::int64_t r = 0; r < job.rows; ++r) {
      const Sums sums(job, r);
      const RowReader other(residual, job.first + r);
      const NumberWriter write(out, job.first + r);
      const auto finish = [&](std::int64_t c, std::int64_t count) HWY_ATTR {
        FloatVector x = sums(c, count);
        if (add_first) x = hn::Add(x, other(c, count));
        x = activate<kKind>(x, slope);
        if (add_last) x = hn::Add(x, other(c, count));
        write(x, c, count);
      };
      std::int64_t c = 0;
      for (; c + kLanes <= out.channels; c += kLanes) finish(c, kLanes);
      if (c < out.channels) finish(c, out.channels - c);
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
