// Rows of features in kernels.
#pragma once

#include <voxshift/kernels_cuda/queue.h>
#include <voxshift/tensor/epilogue.h>
#include <voxshift/tensor/row_view.h>

namespace voxshift::cuda {

/// Rows of T, float or half_t, as a kernel sees them; conversions to and from float at each access.
template <class T>
struct Rows {
  T* base = nullptr;
  std::int64_t stride = 0, count = 0, channels = 0;

  __device__ T* row(std::int64_t i) const { return base + i * stride; }
  __device__ float at(std::int64_t i, std::int64_t c) const { return to_float(base[i * stride + c]); }
  __device__ void set(std::int64_t i, std::int64_t c, float x) const { base[i * stride + c] = from_float<T>(x); }
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

/// An epilogue whose residual has elements of T, without what finish_function() (elementwise.h) does after it.
template <class T>
struct RowEpilogue {
  const float* bias;
  Rows<const T> residual;  // a null base: none
  Activation::Kind kind;
  float slope;
  bool residual_last;

  RowEpilogue(const Epilogue& e)
      : bias(e.bias),
        residual(
            rows<T>(e.residual_last && e.activation.kind == Activation::Kind::kFunction ? ConstRowView() : e.residual)),
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
};

}  // namespace voxshift::cuda
