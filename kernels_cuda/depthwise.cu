// Depthwise 2-D convolution, one thread per pixel and channel or chunk of channels, and its gradients.
#include <voxshift/kernels_cuda/column_sums.h>
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/kernels_cuda/weights.h>

namespace voxshift::cuda {
namespace {

constexpr int kChunk = cuda::kChunk<half_t>;

template <class T>
struct Filter {
  const T* weight;  // [kernel^2, padded_out]
  std::int64_t padded_out;
  const float* bias;
  Activation::Kind kind;
  float slope;
};

// The bias, then the taps inside the image in row-major order. Kernels of a known size have all their loads under way
// at once.
template <int kKernel, class T>
void filter_pixels(const Queue& queue, const ImageWindow& w, Rows<const T> in, const Filter<T>& filter,
                   const std::int32_t* pixels, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    const auto p = pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i);
    const std::int64_t top = w.rows.start(p / w.out_width), left = w.columns.start(p % w.out_width);
    float sum = filter.bias != nullptr ? filter.bias[c] : 0.0f;
#pragma unroll
    for (int down = 0; down < kKernel; ++down)
#pragma unroll
      for (int right = 0; right < kKernel; ++right) {
        const std::int64_t y = top + down, x = left + right;
        const bool inside = y >= 0 && y < w.rows.inputs && x >= 0 && x < w.columns.inputs;
        const float value = inside ? in.at(y * w.in_width + x, c) : 0.0f;
        sum =
            inside ? fmaf(value, to_float(filter.weight[(down * kKernel + right) * filter.padded_out + c]), sum) : sum;
      }
    out.set(i, c, activate(sum, filter.kind, filter.slope));
  });
}

// The same for eight channels a thread.
template <int kKernel>
void filter_chunks(const Queue& queue, const ImageWindow& w, Rows<const half_t> in, const Filter<half_t>& filter,
                   const std::int32_t* pixels, Rows<half_t> out) {
  for_each_cell(queue, out.count, out.channels / kChunk, [=] __device__(std::int64_t i, std::int64_t chunk) {
    const auto p = pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i);
    const std::int64_t top = w.rows.start(p / w.out_width), left = w.columns.start(p % w.out_width);
    const std::int64_t first = chunk * kChunk;
    Chunk<half_t> values[kKernel][kKernel];
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
    float sums[kChunk];
#pragma unroll
    for (int c = 0; c < kChunk; ++c) sums[c] = filter.bias != nullptr ? filter.bias[first + c] : 0.0f;
#pragma unroll
    for (int down = 0; down < kKernel; ++down)
#pragma unroll
      for (int right = 0; right < kKernel; ++right) {
        Chunk<half_t> weights;
        weights.bits =
            *reinterpret_cast<const uint4*>(filter.weight + (down * kKernel + right) * filter.padded_out + first);
        if (inside[down][right])
#pragma unroll
          for (int c = 0; c < kChunk; ++c)
            sums[c] = fmaf(to_float(values[down][right].values[c]), to_float(weights.values[c]), sums[c]);
      }
    Chunk<half_t> result;
#pragma unroll
    for (int c = 0; c < kChunk; ++c)
      result.values[c] = from_float<half_t>(activate(sums[c], filter.kind, filter.slope));
    *reinterpret_cast<uint4*>(out.row(i) + first) = result.bits;
  });
}

template <class T>
void filter_pixels_of_any_size(const Queue& queue, const ImageWindow& w, Rows<const T> in, const Filter<T>& filter,
                               const std::int32_t* pixels, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float sum = filter.bias != nullptr ? filter.bias[c] : 0.0f;
    for_taps(w, pixels != nullptr ? pixels[i] : static_cast<std::int32_t>(i), [&](std::int64_t from, std::int64_t tap) {
      sum = fmaf(in.at(from, c), to_float(filter.weight[tap * filter.padded_out + c]), sum);
    });
    out.set(i, c, activate(sum, filter.kind, filter.slope));
  });
}

void input_gradient(const Queue& queue, const ImageWindow& w, Rows<const float> grad, const float* weight,
                    Rows<float> grad_in) {
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

void weight_gradient(const Queue& queue, const ImageWindow& w, Rows<const float> in, Rows<const float> grad,
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
  const ImageWindow window(layer.window, in_extent);
  const std::int64_t kernel = layer.window.kernel;
  const DeviceWeights& weights = device_weights("depthwise", *layer.weights, kernel * kernel, 1, layer.out_channels,
                                                out.dtype, queue.context().device, true);
  with_type("depthwise", out.dtype, [&](auto type) {
    using T = decltype(type);
    const Filter<T> filter{static_cast<const T*>(weights.data.memory()), weights.padded_out, weights.bias_or_null(),
                           layer.activation.kind, layer.activation.slope};
    const Rows<const T> from = rows<T>(in);
    Rows<T> to = rows<T>(out);
    to.count = pixels.count;
    if constexpr (sizeof(T) == sizeof(half_t)) {
      const bool chunks = in_chunks(from) && in_chunks(to);
      if (chunks && kernel == 3) return filter_chunks<3>(queue, window, from, filter, pixels.rows, to);
      if (chunks && kernel == 5) return filter_chunks<5>(queue, window, from, filter, pixels.rows, to);
    }
    if (kernel == 3) return filter_pixels<3>(queue, window, from, filter, pixels.rows, to);
    if (kernel == 5) return filter_pixels<5>(queue, window, from, filter, pixels.rows, to);
    filter_pixels_of_any_size(queue, window, from, filter, pixels.rows, to);
  });
  apply_function(queue, layer.activation, out.rows(0, pixels.count));
}

void depthwise_input_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& grad,
                              const float* weight, const RowView& grad_in) {
  input_gradient(queue, window, rows<float>(grad), weight, rows<float>(grad_in));
}

void depthwise_weight_gradient(const Queue& queue, const ImageWindow& window, const ConstRowView& in,
                               const ConstRowView& grad, float* grad_weight) {
  weight_gradient(queue, window, rows<float>(in), rows<float>(grad), grad_weight);
}

}  // namespace voxshift::cuda
