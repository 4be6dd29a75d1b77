// Rows of features in kernels.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/narrow.h>
#include <voxshift/tensor/row_view.h>

#include <cstddef>
#include <type_traits>

namespace voxshift::cuda {

/// to_i8() of tensor/narrow.h.
__device__ inline std::int8_t to_byte(float x, float inverse) {
  const float scaled = x * inverse, most = kMostI8;
  if (scaled != scaled) return 0;
  return static_cast<std::int8_t>(scaled >= most ? most : scaled <= -most ? -most : rintf(scaled));
}

/// Rows of T, float, half_t or bfloat_t (of bytes for those who multiply them), as a kernel sees them; conversions to
/// and from float at each access.
template <class T>
struct Rows {
  T* base = nullptr;
  std::int64_t stride = 0, count = 0, channels = 0;

  __device__ T* row(std::int64_t i) const { return base + i * stride; }
  __device__ float at(std::int64_t i, std::int64_t c) const { return to_float(base[i * stride + c]); }
  __device__ void set(std::int64_t i, std::int64_t c, float x) const { base[i * stride + c] = from_float<T>(x); }
};

/// base + count * elements in one instruction, where 64 bits times 64 are many.
template <class T>
__device__ const T* further(const T* base, std::uint32_t count, std::uint32_t elements) {
  constexpr auto kBytes = static_cast<std::uint32_t>(sizeof(T));
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(base) + std::uint64_t{count} * (kBytes * elements));
}

/// Rows of f32, f16, bf16 or i8, whatever the view has; conversions at each access. Byte: std::byte, const where rows
/// are read.
template <class Byte>
struct AnyRows {
  Byte* base = nullptr;
  std::int64_t stride = 0, count = 0, channels = 0;
  DType dtype = DType::kF32;
  const float *scale = nullptr, *inverse = nullptr;  // [channels] of i8

  template <class T>
  __device__ auto* address(std::int64_t i, std::int64_t c) const {
    return reinterpret_cast<std::conditional_t<std::is_const_v<Byte>, const T, T>*>(base) + i * stride + c;
  }
  __device__ float at(std::int64_t i, std::int64_t c) const {
    if (dtype == DType::kI8) return static_cast<float>(*address<std::int8_t>(i, c)) * scale[c];
    if (dtype == DType::kBF16) return to_float(*address<bfloat_t>(i, c));
    return dtype == DType::kF16 ? to_float(*address<half_t>(i, c)) : *address<float>(i, c);
  }
  __device__ void set(std::int64_t i, std::int64_t c, float x) const {
    if (dtype == DType::kI8) {
      *address<std::int8_t>(i, c) = to_byte(x, inverse[c]);
    } else if (dtype == DType::kF16) {
      *address<half_t>(i, c) = from_float<half_t>(x);
    } else if (dtype == DType::kBF16) {
      *address<bfloat_t>(i, c) = from_float<bfloat_t>(x);
    } else {
      *address<float>(i, c) = x;
    }
  }
};

/// x * y + sum.
__device__ inline float add_product(float x, float y, float sum, bool fused) {
  return fused ? fmaf(x, y, sum) : sum + x * y;
}

/// A sum of numbers of one channel of `In`.
template <class In>
struct NumberSum {
  float sum;

  __device__ void begin(float at = 0) { sum = at; }
  __device__ void add(const In& in, std::int64_t i, std::int64_t c) { sum += in.at(i, c); }
  __device__ void add(const NumberSum& other) { sum += other.sum; }
  __device__ float value(const In&, std::int64_t) const { return sum; }
};

/// i8 is summed in whole numbers, exactly; the scale multiplies once.
template <>
struct NumberSum<AnyRows<const std::byte>> {
  using In = AnyRows<const std::byte>;

  float sum;
  std::int64_t whole;

  __device__ void begin(float at = 0) {
    sum = at;
    whole = 0;
  }
  __device__ void add(const In& in, std::int64_t i, std::int64_t c) {
    if (in.dtype == DType::kI8) {
      whole += *in.address<std::int8_t>(i, c);
    } else {
      sum += in.at(i, c);
    }
  }
  __device__ void add(const NumberSum& other) {
    sum += other.sum;
    whole += other.whole;
  }
  __device__ float value(const In& in, std::int64_t c) const {
    return in.dtype == DType::kI8 ? static_cast<float>(whole) * in.scale[c] : sum;
  }
};

template <class T>
Rows<T> rows(const RowView& view) {
  return {static_cast<T*>(view.base), view.row_stride, view.count, view.channels};
}
template <class T>
Rows<const T> rows(const ConstRowView& view) {
  return {static_cast<const T*>(view.base), view.row_stride, view.count, view.channels};
}

template <class Element>
constexpr int kChunk = static_cast<int>(16 / sizeof(Element));  // elements that a thread moves at once

/// Neighbouring channels of a row.
template <class Element>
union Chunk {
  uint4 bits;
  Element values[kChunk<Element>];
};

/// Whether every chunk of the rows stands at an address that takes 16 bytes at once.
template <class T>
bool in_chunks(const Rows<T>& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.base) % 16 == 0 && rows.stride % kChunk<T> == 0 &&
         rows.channels % kChunk<T> == 0;
}

/// kWidth neighbouring numbers of a row.
template <class T, int kWidth>
struct alignas(kWidth * sizeof(T) < 16 ? kWidth * sizeof(T) : 16) Pack {
  T values[kWidth];
};

/// Whether every pack of `width` numbers of the rows stands at such an address.
inline bool holds_packs(const ConstRowView& view, int width) {
  const std::size_t bytes = static_cast<std::size_t>(width) * size_of(view.dtype);
  return reinterpret_cast<std::uintptr_t>(view.base) % (bytes < 16 ? bytes : 16) == 0 && view.row_stride % width == 0 &&
         view.channels % width == 0;
}

template <int kWidth, class T>
__device__ void load_pack(const T* from, float (&x)[kWidth]) {
  const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(from);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) x[e] = to_float(pack.values[e]);
}
template <int kWidth, class T>
__device__ void store_pack(const float (&x)[kWidth], T* to) {
  Pack<T, kWidth> pack;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) pack.values[e] = from_float<T>(x[e]);
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

/// The numbers [c, c + kWidth) of row i, a pack.
template <int kWidth, class T>
__device__ void read(const Rows<const T>& rows, std::int64_t i, std::int64_t c, float (&x)[kWidth]) {
  load_pack(rows.row(i) + c, x);
}
template <int kWidth>
__device__ void read(const AnyRows<const std::byte>& rows, std::int64_t i, std::int64_t c, float (&x)[kWidth]) {
  if (rows.dtype == DType::kF32) return load_pack(rows.template address<float>(i, c), x);
  if (rows.dtype == DType::kF16) return load_pack(rows.template address<half_t>(i, c), x);
  if (rows.dtype == DType::kBF16) return load_pack(rows.template address<bfloat_t>(i, c), x);
  const auto pack = *reinterpret_cast<const Pack<std::int8_t, kWidth>*>(rows.template address<std::int8_t>(i, c));
#pragma unroll
  for (int e = 0; e < kWidth; ++e) x[e] = static_cast<float>(pack.values[e]) * rows.scale[c + e];
}
template <int kWidth, class T>
__device__ void write(const Rows<T>& rows, std::int64_t i, std::int64_t c, const float (&x)[kWidth]) {
  store_pack(x, rows.row(i) + c);
}
template <int kWidth>
__device__ void write(const AnyRows<std::byte>& rows, std::int64_t i, std::int64_t c, const float (&x)[kWidth]) {
  if (rows.dtype == DType::kF32) return store_pack(x, rows.template address<float>(i, c));
  if (rows.dtype == DType::kF16) return store_pack(x, rows.template address<half_t>(i, c));
  if (rows.dtype == DType::kBF16) return store_pack(x, rows.template address<bfloat_t>(i, c));
  Pack<std::int8_t, kWidth> pack;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) pack.values[e] = to_byte(x[e], rows.inverse[c + e]);
  *reinterpret_cast<Pack<std::int8_t, kWidth>*>(rows.template address<std::int8_t>(i, c)) = pack;
}

/// call(T()) with T the element type of `dtype`: f32 or f16.
template <class Call>
void with_type(const char* op, DType dtype, const Call& call) {
  check(dtype == DType::kF32 || dtype == DType::kF16, "[", op, "] features on cuda are f32 or f16, found ",
        name(dtype));
  if (dtype == DType::kF16) {
    call(half_t());
  } else {
    call(float());
  }
}

/// The same of f32, f16 or bf16: for products, and for gradients.
template <class Call>
void with_real_type(const char* op, DType dtype, const Call& call) {
  if (dtype == DType::kBF16) return call(bfloat_t());
  with_type(op, dtype, call);
}

inline AnyRows<std::byte> any_rows(const RowView& view) {
  return {static_cast<std::byte*>(view.base),
          view.row_stride,
          view.count,
          view.channels,
          view.dtype,
          view.scales.scale,
          view.scales.inverse};
}
inline AnyRows<const std::byte> any_rows(const ConstRowView& view) {
  return {static_cast<const std::byte*>(view.base),
          view.row_stride,
          view.count,
          view.channels,
          view.dtype,
          view.scales.scale,
          view.scales.inverse};
}

/// Whether all views are of one dtype; those without rows are of any.
template <class... Views>
bool all_of(DType dtype, const Views&... views) {
  return ((views.base == nullptr || views.dtype == dtype) && ...);
}

/// Whether products and sums are one operation with one rounding: where a view is i8 every operation is rounded, so
/// that all devices give the same bits.
template <class... Views>
bool are_fused(const Views&... views) {
  return !((views.base != nullptr && views.dtype == DType::kI8) || ...);
}

/// Throws InvalidArgument for what no kernel reads.
template <class View>
void check_numbers(const char* op, const View& view) {
  check(is_real(view.dtype) || view.dtype == DType::kI8, "[", op, "] features on cuda are f32, f16, bf16 or i8, found ",
        name(view.dtype));
}

/// call(rows of each view): Rows where all are f32 or all are f16, else AnyRows.
template <class Call, class... Views>
void with_rows(const char* op, const Call& call, const Views&... views) {
  if (all_of(DType::kF32, views...)) return call(rows<float>(views)...);
  if (all_of(DType::kF16, views...)) return call(rows<half_t>(views)...);
  (check_numbers(op, views), ...);
  call(any_rows(views)...);
}

/// The same for a call that copies numbers by copy_number(), where i8 of the same scales, or without any, are Rows of
/// bytes.
template <class Call>
void with_copies(const char* op, const Call& call, const ConstRowView& in, const RowView& out) {
  if (all_of(DType::kI8, in, out) && in.scales.scale == out.scales.scale)
    return call(rows<std::int8_t>(in), rows<std::int8_t>(out));
  if (all_of(DType::kBF16, in, out)) return call(rows<half_t>(in), rows<half_t>(out));  // words of two bytes
  with_rows(op, call, in, out);
}

/// to[o, d] = from[i, c]
template <class T>
__device__ void copy_number(const Rows<const T>& from, std::int64_t i, std::int64_t c, const Rows<T>& to,
                            std::int64_t o, std::int64_t d) {
  to.row(o)[d] = from.row(i)[c];
}
__device__ inline void copy_number(const AnyRows<const std::byte>& from, std::int64_t i, std::int64_t c,
                                   const AnyRows<std::byte>& to, std::int64_t o, std::int64_t d) {
  to.set(o, d, from.at(i, c));
}

/// f(row, channel) for all rows and channels, neighbouring threads on neighbouring channels.
template <class F>
void for_each_cell(const Queue& queue, std::int64_t count, std::int64_t channels, const F& f) {
  if (channels <= 0) return;
  const std::int64_t cells = count * channels;
  if (cells < (std::int64_t{1} << 31)) {
    const auto width = static_cast<std::uint32_t>(channels);
    for_each(queue, cells, [f, width] __device__(std::int64_t i) {
      const auto cell = static_cast<std::uint32_t>(i);
      f(static_cast<std::int64_t>(cell / width), static_cast<std::int64_t>(cell % width));
    });
  } else {
    for_each(queue, cells, [f, channels] __device__(std::int64_t i) { f(i / channels, i % channels); });
  }
}

__device__ inline float activate(float x, Activation::Kind kind, float slope) {
  switch (kind) {
    case Activation::Kind::kRelu:
      return x < 0 ? 0.0f : x;
    case Activation::Kind::kRelu6:
      return x < 0 ? 0.0f : x > 6 ? 6.0f : x;
    case Activation::Kind::kLeakyRelu:
      return x > 0 ? x : slope * x;
    default:
      return x;
  }
}

/// What an epilogue adds before the activation, or after one that is no function: the rest is done after the kernel, by
/// finish_function() (elementwise.h).
inline ConstRowView residual_of(const Epilogue& e) {
  return e.residual_last && e.activation.kind == Activation::Kind::kFunction ? ConstRowView() : e.residual;
}

/// The same of neighbouring numbers: one decision for all.
template <int kWidth>
__device__ void activate(float (&x)[kWidth], Activation::Kind kind, float slope) {
  const auto all = [&](const auto& f) {
#pragma unroll
    for (int c = 0; c < kWidth; ++c) x[c] = f(x[c]);
  };
  if (kind == Activation::Kind::kRelu) {
    all([](float v) { return activate(v, Activation::Kind::kRelu, 0); });
  } else if (kind == Activation::Kind::kRelu6) {
    all([](float v) { return activate(v, Activation::Kind::kRelu6, 0); });
  } else if (kind == Activation::Kind::kLeakyRelu) {
    all([slope](float v) { return activate(v, Activation::Kind::kLeakyRelu, slope); });
  }
}

/// An epilogue, but for what finish_function() does, whose residual is residual_of().
template <class Residual>
struct RowEpilogue {
  const float* bias;
  Residual residual;  // a null base: none
  Activation::Kind kind;
  float slope;
  bool residual_last;

  RowEpilogue(const Epilogue& e, const Residual& other)
      : bias(e.bias),
        residual(other),
        kind(e.activation.kind),
        slope(e.activation.slope),
        residual_last(e.residual_last) {}

  __device__ float finish(float sum, std::int64_t row, std::int64_t channel) const {
    return finish_with(sum, channel, residual.base != nullptr ? residual.at(row, channel) : 0.0f);
  }
  __device__ float finish_with(float sum, std::int64_t channel, float other) const {
    if (bias != nullptr) sum += bias[channel];
    return residual_last ? activate(sum, kind, slope) + other : activate(sum + other, kind, slope);
  }
  /// The same of neighbouring channels, whose sums are in x.
  template <int kWidth>
  __device__ void finish_with(float (&x)[kWidth], std::int64_t channel, const float (&others)[kWidth]) const {
    const auto add = [&](const float* terms) {
#pragma unroll
      for (int c = 0; c < kWidth; ++c) x[c] += terms[c];
    };
    if (bias != nullptr) add(bias + channel);
    if (!residual_last) add(others);
    activate(x, kind, slope);
    if (residual_last) add(others);
  }
};

}  // namespace voxshift::cuda
