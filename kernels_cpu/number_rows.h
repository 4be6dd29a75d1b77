// What kernels on rows do where not all numbers are f32: they read f32, compute in f32 and round what they write. Where
// a view is i8, every operation is rounded, none is fused, so that all instruction sets give the same bits.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/half.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace voxshift::cpu {

constexpr std::int64_t kNumberGrain = 2048;  // rows of one task

constexpr bool is_number(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kI8;
}

/// Throws BackendUnavailable, which names op and dtype, for elements that are no numbers of features.
inline void check_numbers(const char* op, DType dtype) {
  check<BackendUnavailable>(is_number(dtype), "[", op, "] the CPU has no kernel for ", name(dtype));
}
template <class View, class... Views>
void check_numbers(const char* op, const View& view, const Views&... views) {
  check_numbers(op, view.dtype);
  (check_numbers(op, views.dtype), ...);
}

/// Whether all views have the dtype; one without rows has any.
template <class... Views>
bool all_are(DType dtype, const Views&... views) {
  return ((views.base == nullptr || views.dtype == dtype) && ...);
}
template <class... Views>
bool any_is(DType dtype, const Views&... views) {
  return ((views.base != nullptr && views.dtype == dtype) || ...);
}

/// Whether the same bytes are the same numbers, channel by channel.
bool same_numbers(const ConstRowView& a, const ConstRowView& b);

inline const std::byte* row_of(const ConstRowView& view, std::int64_t i) {
  return static_cast<const std::byte*>(view.base) +
         i * view.row_stride * static_cast<std::int64_t>(size_of(view.dtype));
}
inline std::byte* row_of(const RowView& view, std::int64_t i) {
  return static_cast<std::byte*>(view.base) + i * view.row_stride * static_cast<std::int64_t>(size_of(view.dtype));
}

/// One number of a row, for code that is no loop over channels.
inline float number_at(const ConstRowView& view, std::int64_t i, std::int64_t c) {
  const std::byte* const row = row_of(view, i);
  if (view.dtype == DType::kF32) return reinterpret_cast<const float*>(row)[c];
  if (view.dtype == DType::kI8)
    return static_cast<float>(reinterpret_cast<const std::int8_t*>(row)[c]) * view.scales.scale[c];
  const std::uint16_t bits = reinterpret_cast<const std::uint16_t*>(row)[c];
  return view.dtype == DType::kF16 ? from_half(bits) : from_bfloat(bits);
}
inline void set_number(const RowView& view, std::int64_t i, std::int64_t c, float x) {
  std::byte* const row = row_of(view, i);
  if (view.dtype == DType::kF32) {
    reinterpret_cast<float*>(row)[c] = x;
  } else if (view.dtype == DType::kI8) {
    reinterpret_cast<std::int8_t*>(row)[c] = to_i8(x, view.scales.inverse[c]);
  } else {
    reinterpret_cast<std::uint16_t*>(row)[c] = view.dtype == DType::kF16 ? to_half(x) : to_bfloat(x);
  }
}

/// to[c] = row i of `from`, for all its channels; and the way back.
void read_row(const ConstRowView& from, std::int64_t i, float* to);
void write_row(const float* from, const RowView& to, std::int64_t i);

/// to[o] = from[i] for all channels of `to`.
void convert_row(const ConstRowView& from, std::int64_t i, const RowView& to, std::int64_t o);

/// Copies rows from one view to another: their bytes, where these are the same numbers.
class RowCopy {
 public:
  RowCopy(const ConstRowView& from, const RowView& to)
      : from_(from),
        to_(to),
        bytes_(static_cast<std::size_t>(to.channels) * size_of(to.dtype)),
        same_(same_numbers(from, to)),
        f32_(same_ && to.dtype == DType::kF32) {}

  /// to[o] = from[i]; zeros for i < 0.
  void operator()(std::int64_t i, std::int64_t o) const {
    if (i < 0) [[unlikely]] {
      std::memset(row_of(to_, o), 0, bytes_);
    } else if (f32_) {
      const auto* const from = reinterpret_cast<const float*>(row_of(from_, i));
      auto* const to = reinterpret_cast<float*>(row_of(to_, o));
      for (std::int64_t c = 0; c < to_.channels; ++c) to[c] = from[c];
    } else if (same_) {
      std::memcpy(row_of(to_, o), row_of(from_, i), bytes_);
    } else {
      convert_row(from_, i, to_, o);
    }
  }

 private:
  ConstRowView from_;
  RowView to_;
  std::size_t bytes_;
  bool same_, f32_;
};

/// Operands of RowKernels::affine().
struct AffineRows {
  const ConstRowView& in;
  const float *scale, *shift;
  const ConstRowView& residual;
  const Activation& activation;
  const RowView& out;
};

// Methods of RowKernels where not all views are f32.
void affine_numbers(const Context&, const AffineRows& op);
void apply_numbers(const Context&, const Elementwise& f, const ConstRowView& in, const RowView& out);
void apply_numbers(const Context&, const RowFunction& f, const ConstRowView& in, const RowView& out);
void multiply_numbers(const Context&, const ConstRowView& a, const ConstRowView& b, const RowView& out);
void matmul_numbers(const Context&, const ConstRowView& in, const ConstRowView& matrices, const std::int32_t* picked,
                    const RowView& out);

/// body(i, floats) for i of [0, count), with memory for `width` f32 that is the calling thread's.
template <class Body>
void for_rows_with(const Context& context, std::int64_t count, std::int64_t width, const Body& body) {
  const Arena::Mark mark = context.arena->mark();
  auto* const floats = context.arena->allocate<float>(width * std::max(context.threads, 1));
  parallel_for(context, (count + kNumberGrain - 1) / kNumberGrain, [&](std::int64_t piece, int thread) {
    const std::int64_t last = std::min(count, (piece + 1) * kNumberGrain);
    for (std::int64_t i = piece * kNumberGrain; i < last; ++i) body(i, floats + thread * width);
  });
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
