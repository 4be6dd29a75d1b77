// Depthwise 2-D convolution, one thread per pixel and channel or chunk of channels, and its gradients.
#include <voxshift/kernels_cuda/column_sums.h>
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/kernels_cuda/weights.h>

namespace voxshift::cuda {
namespace {

template <class T>
struct Filter {
  using Sum = std::conditional_t<std::is_same_v<T, std::int8_t>, std::int32_t, float>;

  const T* weight;  // [kernel^2, padded_out]
  std::int64_t padded_out;
  const float *bias, *multiplier;  // the multiplier of i8
  Activation::Kind kind;
  float slope;

  /// What the sum of channel c begins with.
  __device__ Sum start(std::int64_t c) const {
    if constexpr (std::is_same_v<T, std::int8_t>) {
      return 0;
    } else {
      return bias != nullptr ? bias[c] : 0.0f;
    }
  }
  __device__ float finish(Sum sum, std::int64_t c) const {
    if constexpr (std::is_same_v<T, std::int8_t>) {
      const float scaled = static_cast<float>(sum) * multiplier[c];
      return activate(bias != nullptr ? scaled + bias[c] : scaled, kind, slope);
    } else {
      return activate(sum, kind, slope);
    }
  }
};

template <class T>
__device__ float sum_with_product(T a, T b, float sum) {
  return fmaf(to_float(a), to_float(b), sum);
}
__device__ inline std::int32_t sum_with_product(std::int8_t a, std::int8_t b, std::int32_t sum) {
  return sum + std::int32_t{a} * b;
}

// The bias, then the taps inside the image in row-major order. Kernels of a known size have all their loads under way
// at once.
template <int kKernel, class T, class Out>
void filter_pixels(const Queue& queue, const ImageWindow& w, Rows<const T> in, const Filter<T>& filter,
                   const std::int32_t* pixels, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const auto p = pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i);
    const std::int64_t top = w.rows.start(p / w.out_width), left = w.columns.start(p % w.out_width);
    auto sum = filter.start(c);
#pragma unroll
    for (int down = 0; down < kKernel; ++down)
#pragma unroll
      for (int right = 0; right < kKernel; ++right) {
        const std::int64_t y = top + down, x = left + right;
        const bool inside = y >= 0 && y < w.rows.inputs && x >= 0 && x < w.columns.inputs;
        const T value = inside ? in.row(y * w.in_width + x)[c] : T(0);
        const T weight = filter.weight[(down * kKernel + right) * filter.padded_out + c];
        sum = inside ? sum_with_product(value, weight, sum) : sum;
      }
    out.set(i, c, filter.finish(sum, c));
  });
}

// The same for a chunk of channels a thread.
template <int kKernel, class T, class Out>
void filter_chunks(const Queue& queue, const ImageWindow& w, Rows<const T> in, const Filter<T>& filter,
                   const std::int32_t* pixels, Out out) {
  constexpr int kChunk = cuda::kChunk<T>;
  for_each_cell(queue, out.count, out.channels / kChunk, [=] __device__(std::int64_t i, std::int64_t chunk) {
    const auto p = pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i);
    const std::int64_t top = w.rows.start(p / w.out_width), left = w.columns.start(p % w.out_width);
    const std::int64_t first = chunk * kChunk;
    Chunk<T> values[kKernel][kKernel];
    bool inside[kKernel][kKernel];
#pragma unroll
    for (int down = 0; down < kKernel; ++down)
#pragma unroll
      for (int right = 0; right < kKernel; ++right) {
        const std::int64_t y = top + down, x = left + right;
        inside[down][right] = y >= 0 && y < w.rows.inputs && x >= 0 && x < w.columns.inputs;
        if (inside[down][right])
          values[down][right].bits = *reinterpret_cast<const uint4*>(in.row(y * w.in_width + x) + first);
      }
    typename Filter<T>::Sum sums[kChunk];
#pragma unroll
    for (int c = 0; c < kChunk; ++c) sums[c] = filter.start(first + c);
#pragma unroll
    for (int down = 0; down < kKernel; ++down)
#pragma unroll
      for (int right = 0; right < kKernel; ++right) {
        Chunk<T> weights;
        weights.bits =
            *reinterpret_cast<const uint4*>(filter.weight + (down * kKernel + right) * filter.padded_out + first);
        if (inside[down][right])
#pragma unroll
          for (int c = 0; c < kChunk; ++c)
            sums[c] = sum_with_product(values[down][right].values[c], weights.values[c], sums[c]);
      }
    float results[kChunk];
#pragma unroll
    for (int c = 0; c < kChunk; ++c) results[c] = filter.finish(sums[c], first + c);
    write(out, i, first, results);
  });
}

template <class T, class Out>
void filter_pixels_of_any_size(const Queue& queue, const ImageWindow& w, Rows<const T> in, const Filter<T>& filter,
                               const std::int32_t* pixels, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    auto sum = filter.start(c);
    for_taps(w, pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i), [&](std::int64_t from, std::int64_t tap) {
      sum = sum_with_product(in.row(from)[c], filter.weight[tap * filter.padded_out + c], sum);
    });
    out.set(i, c, filter.finish(sum, c));
  });
}

/// `packs`: `out` takes chunks of T.
template <class T, class Out>
void filter_image(const Queue& queue, const ImageWindow& window, std::int64_t kernel, Rows<const T> in,
                  const Filter<T>& filter, const std::int32_t* pixels, bool packs, Out out) {
  if constexpr (sizeof(T) < sizeof(float)) {
    const bool chunks = packs && in_chunks(in);
    if (chunks && kernel == 3) return filter_chunks<3>(queue, window, in, filter, pixels, out);
    if (chunks && kernel == 5) return filter_chunks<5>(queue, window, in, filter, pixels, out);
  }
  if (kernel == 3) return filter_pixels<3>(queue, window, in, filter, pixels, out);
  if (kernel == 5) return filter_pixels<5>(queue, window, in, filter, pixels, out);
  filter_pixels_of_any_size(queue, window, in, filter, pixels, out);
}

template <class T>
void filter_into(const Queue& queue, const Conv2dLayer& layer, const DeviceWeights& weights, Extent2d in_extent,
                 const ConstRowView& in, Pixels pixels, const RowView& out) {
  const ImageWindow window(layer.window, in_extent);
  const Filter<T> filter{
      static_cast<const T*>(weights.data.memory()),           weights.padded_out,    weights.bias_or_null(),
      static_cast<const float*>(weights.multiplier.memory()), layer.activation.kind, layer.activation.slope};
  const bool packs = holds_packs(out, kChunk<T>);
  const std::int64_t kernel = layer.window.kernel;
  // Of other dtypes one kernel writes them all: a choice per chunk.
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, half_t>) {
    if (in.dtype == out.dtype)
      return filter_image(queue, window, kernel, rows<T>(in), filter, pixels.rows, packs, rows<T>(out));
  }
  check_numbers("depthwise", out);
  filter_image(queue, window, kernel, rows<T>(in), filter, pixels.rows, packs, any_rows(out));
}

template <class T>
void input_gradient(const Queue& queue, const ImageWindow& w, Rows<const T> grad, const float* weight,
                    Rows<T> grad_in) {
  const std::int64_t taps = w.rows.kernel * w.columns.kernel;
  for_each_cell(queue, grad_in.count, grad_in.channels, [=] __device__(std::int64_t row, std::int64_t c) {
    const auto p = static_cast<std::int32_t>(row);
    const std::int64_t first = std::int64_t{p / w.in_pixels} * w.out_pixels;
    float sum = 0;
    for_readers(w, p % w.in_pixels, [&](std::int64_t q, std::int64_t tap) {
      sum = fmaf(grad.at(first + q, c), weight[c * taps + tap], sum);
    });
    grad_in.set(row, c, sum);
  });
}

template <class T>
void weight_gradient(const Queue& queue, const ImageWindow& w, Rows<const T> in, Rows<const T> grad,
                     float* grad_weight) {
  const auto channels = static_cast<int>(in.channels), kernel = static_cast<int>(w.rows.kernel);
  const auto value = [=] __device__(std::int64_t row, std::int64_t column) {
    const auto q = static_cast<std::int32_t>(row);
    const int tap = static_cast<int>(column) / channels, c = static_cast<int>(column) % channels;
    const std::int32_t place = q % w.out_pixels;
    const std::int64_t y = w.rows.start(place / w.out_width) + tap / kernel;
    const std::int64_t x = w.columns.start(place % w.out_width) + tap % kernel;
    Two product;
    if (y < 0 || y >= w.rows.inputs || x < 0 || x >= w.columns.inputs) return product;
    const std::int64_t from = std::int64_t{q / w.out_pixels} * w.in_pixels + y * w.in_width + x;
    product.first = static_cast<double>(in.at(from, c)) * static_cast<double>(grad.at(row, c));
    return product;
  };
  column_sums(queue, grad.count, kernel * kernel * in.channels, value,
              [=] __device__(std::int64_t column, const Two& sum) {
                const std::int64_t tap = column / channels, c = column % channels;
                grad_weight[c * kernel * kernel + tap] = static_cast<float>(sum.first);
              });
}

}  // namespace

void depthwise(const Queue& queue, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in, Pixels pixels,
               const RowView& out) {
  const DeviceWeights& weights =
      device_weights("depthwise", *layer.weights, layer.window.kernel * layer.window.kernel, 1, layer.out_channels,
                     in.dtype, queue.context().device, WeightUse::kChannels);
  const RowView wanted = out.rows(0, pixels.count);
  const UnroundedRows to(queue, layer.activation, in.dtype, wanted);
  if (in.dtype == DType::kI8) {
    filter_into<std::int8_t>(queue, layer, weights, in_extent, in, pixels, to.rows);
  } else {
    with_real_type("depthwise", in.dtype, [&](auto type) {
      filter_into<decltype(type)>(queue, layer, weights, in_extent, in, pixels, to.rows);
    });
  }
  apply_function(queue, layer.activation, to.rows, wanted);
}

void depthwise_input_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& grad,
                              const float* weight, const RowView& grad_in) {
  with_real_type("depthwise_input_gradient", grad.dtype, [&](auto type) {
    using T = decltype(type);
    input_gradient(queue, window, rows<T>(grad), weight, rows<T>(grad_in));
  });
}

void depthwise_weight_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& in,
                               const ConstRowView& grad, float* grad_weight) {
  with_real_type("depthwise_weight_gradient", in.dtype, [&](auto type) {
    using T = decltype(type);
    weight_gradient(queue, window, rows<T>(in), rows<T>(grad), grad_weight);
  });
}

}  // namespace voxshift::cuda
