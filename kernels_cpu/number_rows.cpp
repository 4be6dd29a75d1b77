// Kernels on rows of numbers of any dtype.
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/number_rows.h>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/number_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/numbers.h>

#ifndef VOXSHIFT_KERNELS_CPU_NUMBER_ROWS
#define VOXSHIFT_KERNELS_CPU_NUMBER_ROWS
namespace voxshift::cpu {

constexpr std::int64_t kStrip = 256;  // channels whose f32 wait in the L1 cache for a function of numbers

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

/// Calls body(c, count) for vectors of channels that cover [first, last).
template <class Body>
HWY_INLINE void for_vectors(std::int64_t first, std::int64_t last, const Body& body) {
  std::int64_t c = first;
  for (; c + kLanes <= last; c += kLanes) body(c, kLanes);
  if (c < last) body(c, last - c);
}

void read_numbers(const ConstRowView& from, std::int64_t i, std::int64_t first, std::int64_t last, float* to) {
  const RowReader row(from, i);
  for_vectors(first, last,
              [&](std::int64_t c, std::int64_t count) HWY_ATTR { store_lanes(row(c, count), to + c - first, count); });
}

void write_numbers(const float* from, std::int64_t first, std::int64_t last, const RowView& to, std::int64_t i) {
  const NumberWriter row(to, i);
  for_vectors(first, last,
              [&](std::int64_t c, std::int64_t count) HWY_ATTR { row(load_lanes(from + c - first, count), c, count); });
}

void convert_numbers(const ConstRowView& from, std::int64_t i, const RowView& to, std::int64_t o) {
  const RowReader read(from, i);
  const NumberWriter write(to, o);
  for_vectors(0, to.channels, [&](std::int64_t c, std::int64_t count) HWY_ATTR { write(read(c, count), c, count); });
}

/// act(in * scale + shift + residual) of rows [first, last), channels [begin, end): to `out`, or, where `floats` is
/// given, of one row to there.
struct AffineNumbers {
  const AffineRows& op;
  std::int64_t first, last, begin, end;
  float* floats;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    const FloatVector slopes = hn::Set(Floats(), op.activation.slope);
    const bool adds = op.residual.base != nullptr;
    for (std::int64_t i = first; i < last; ++i) {
      const RowReader in(op.in, i), residual(adds ? op.residual : op.in, i);
      const NumberWriter out(op.out, i);
      for_vectors(begin, end, [&](std::int64_t c, std::int64_t count) HWY_ATTR {
        FloatVector x = in(c, count);
        if (op.scale) x = hn::Mul(x, load_lanes(op.scale + c, count));
        if (op.shift) x = hn::Add(x, load_lanes(op.shift + c, count));
        if (adds) x = hn::Add(x, residual(c, count));
        x = activate<kKind>(x, slopes);
        if (floats == nullptr) {
          out(x, c, count);
        } else {
          store_lanes(x, floats + c - begin, count);
        }
      });
    }
  }
};

void affine_rows(const AffineRows& op, std::int64_t first, std::int64_t last) {
  with_activation(op.activation.kind, AffineNumbers{op, first, last, 0, op.out.channels, nullptr});
}

void affine_strip(const AffineRows& op, std::int64_t i, std::int64_t begin, std::int64_t end, float* floats) {
  AffineNumbers{op, i, i + 1, begin, end, floats}.run<Activation::Kind::kNone>();
}

void multiply_rows(const ConstRowView& a, const ConstRowView& b, const RowView& out, std::int64_t first,
                   std::int64_t last) {
  for (std::int64_t i = first; i < last; ++i) {
    const RowReader x(a, i), y(b, i);
    const NumberWriter write(out, i);
    for_vectors(0, out.channels, [&](std::int64_t c, std::int64_t count) HWY_ATTR {
      write(hn::Mul(x(c, count), y(c, count)), c, count);
    });
  }
}

void matrix_product(const float* in, std::int64_t in_channels, const ConstRowView& matrices, std::int64_t matrix,
                    bool fused, const RowView& out, std::int64_t o) {
  const RowReader weights(matrices, matrix);
  const NumberWriter write(out, o);
  for_vectors(0, out.channels, [&](std::int64_t d, std::int64_t count) HWY_ATTR {
    FloatVector sum = hn::Zero(Floats());
    for (std::int64_t c = 0; c < in_channels; ++c) {
      const FloatVector x = hn::Set(Floats(), in[c]), w = weights(c * out.channels + d, count);
      sum = fused ? hn::MulAdd(x, w, sum) : hn::Add(hn::Mul(x, w), sum);
    }
    write(sum, d, count);
  });
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(read_numbers);
HWY_EXPORT(write_numbers);
HWY_EXPORT(convert_numbers);
HWY_EXPORT(affine_rows);
HWY_EXPORT(affine_strip);
HWY_EXPORT(multiply_rows);
HWY_EXPORT(matrix_product);
namespace {

// Rows of affine() that end in a function of numbers.
void function_rows(const AffineRows& op, std::int64_t first, std::int64_t last) {
  const auto affine_strip = HWY_DYNAMIC_DISPATCH(affine_strip);
  const auto write_numbers = HWY_DYNAMIC_DISPATCH(write_numbers);
  alignas(64) float strip[kStrip];
  for (std::int64_t i = first; i < last; ++i)
    for (std::int64_t c = 0; c < op.out.channels; c += kStrip) {
      const std::int64_t end = std::min(op.out.channels, c + kStrip);
      affine_strip(op, i, c, end, strip);
      apply(op.activation.function, strip, end - c, strip);
      write_numbers(strip, c, end, op.out, i);
    }
}

bool is_copy(const AffineRows& op) {
  return op.scale == nullptr && op.shift == nullptr && op.residual.base == nullptr &&
         op.activation.kind == Activation::Kind::kNone && same_numbers(op.in, op.out);
}

}  // namespace

bool same_numbers(const ConstRowView& a, const ConstRowView& b) {
  if (a.dtype != b.dtype) return false;
  const float *x = a.scales.scale, *y = b.scales.scale;
  if (a.dtype != DType::kI8 || x == y) return true;
  return x != nullptr && y != nullptr && std::equal(x, x + std::min(a.channels, b.channels), y);
}

void read_row(const ConstRowView& from, std::int64_t i, float* to) {
  HWY_DYNAMIC_DISPATCH(read_numbers)(from, i, 0, from.channels, to);
}

void write_row(const float* from, const RowView& to, std::int64_t i) {
  HWY_DYNAMIC_DISPATCH(write_numbers)(from, 0, to.channels, to, i);
}

void convert_row(const ConstRowView& from, std::int64_t i, const RowView& to, std::int64_t o) {
  HWY_DYNAMIC_DISPATCH(convert_numbers)(from, i, to, o);
}

void affine_numbers(const Context& context, const AffineRows& op) {
  const bool copies = is_copy(op);
  if (copies && op.in.base == op.out.base && op.in.row_stride == op.out.row_stride) return;
  const RowCopy copy(op.in, op.out);
  const auto rows =
      op.activation.kind == Activation::Kind::kFunction ? function_rows : HWY_DYNAMIC_DISPATCH(affine_rows);
  parallel_ranges(context, op.out.count, kNumberGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    if (!copies) return rows(op, first, last);
    for (std::int64_t i = first; i < last; ++i) copy(i, i);
  });
}

void apply_numbers(const Context& context, const Elementwise& f, const ConstRowView& in, const RowView& out) {
  const Activation function{Activation::Kind::kFunction, 0, f};
  affine_numbers(context, {in, nullptr, nullptr, {}, function, out});
}

void apply_numbers(const Context& context, const RowFunction& f, const ConstRowView& in, const RowView& out) {
  for_rows_with(context, out.count, out.channels, [&](std::int64_t i, float* floats) {
    read_row(in, i, floats);
    apply(f, floats, out.channels, floats);
    write_row(floats, out, i);
  });
}

void multiply_numbers(const Context& context, const ConstRowView& a, const ConstRowView& b, const RowView& out) {
  const auto multiply_rows = HWY_DYNAMIC_DISPATCH(multiply_rows);
  parallel_ranges(context, out.count, kNumberGrain,
                  [&](std::int64_t first, std::int64_t last, std::int64_t) { multiply_rows(a, b, out, first, last); });
}

void matmul_numbers(const Context& context, const ConstRowView& in, const ConstRowView& matrices,
                    const std::int32_t* picked, const RowView& out) {
  const bool fused = !any_is(DType::kI8, in, matrices, out);
  const auto matrix_product = HWY_DYNAMIC_DISPATCH(matrix_product);
  const RowCopy zeros(out, out);
  for_rows_with(context, out.count, in.channels, [&](std::int64_t i, float* floats) {
    if (picked[i] < 0) return zeros(-1, i);
    read_row(in, i, floats);
    matrix_product(floats, in.channels, matrices, picked[i], fused, out, i);
  });
}

}  // namespace voxshift::cpu
#endif
