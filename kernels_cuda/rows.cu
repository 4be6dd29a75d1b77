// Ops that know rows only, on CUDA.
#include <voxshift/kernels_cuda/algorithms.h>
#include <voxshift/kernels_cuda/batch_norm.h>
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/product.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/selection.h>
#include <voxshift/kernels_cuda/weight_gradient.h>
#include <voxshift/rows/kernels.h>

namespace voxshift::cuda {
namespace {

template <class In, class Residual, class Out>
void affine_rows(const Queue& queue, In in, const float* scale, const float* shift, Residual residual,
                 Activation activation, bool fused, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    float x = in.at(i, c);
    if (scale != nullptr && shift != nullptr) {
      x = add_product(x, scale[c], shift[c], fused);
    } else if (scale != nullptr) {
      x *= scale[c];
    } else if (shift != nullptr) {
      x += shift[c];
    }
    if (residual.base != nullptr) x += residual.at(i, c);
    out.set(i, c, activate(x, activation.kind, activation.slope));
  });
}

template <class In, class Out>
void copy_rows(const Queue& queue, In in, Out out) {
  for_each_cell(queue, out.count, out.channels,
                [=] __device__(std::int64_t i, std::int64_t c) { copy_number(in, i, c, out, i, c); });
}

template <class In, class Out>
void apply_to_cells(const Queue& queue, const Elementwise& f, In in, Out out) {
  for_each_cell(queue, out.count, out.channels,
                [=] __device__(std::int64_t i, std::int64_t c) { out.set(i, c, apply(f, in.at(i, c))); });
}

template <class In, class Out>
void apply_to_rows(const Queue& queue, const RowFunction& f, In in, Out out) {
  for_each(queue, out.count, [=] __device__(std::int64_t i) { apply(f, in, out, i); });
}

template <class A, class B, class Out>
void multiply_rows(const Queue& queue, A a, B b, Out out) {
  for_each_cell(queue, out.count, out.channels,
                [=] __device__(std::int64_t i, std::int64_t c) { out.set(i, c, a.at(i, c) * b.at(i, c)); });
}

template <class In, class Matrices, class Out>
void matmul_rows(const Queue& queue, In in, Matrices matrices, const std::int32_t* picked, bool fused, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t d) {
    float sum = 0;
    for (std::int64_t c = 0; picked[i] >= 0 && c < in.channels; ++c)
      sum = add_product(in.at(i, c), matrices.at(picked[i], c * out.channels + d), sum, fused);
    out.set(i, d, sum);
  });
}

template <class In>
void argmax_rows(const Queue& queue, In in, std::uint8_t* labels) {
  for_each(queue, in.count, [=] __device__(std::int64_t i) {
    int best = 0;
    for (int c = 1; c < in.channels; ++c)
      if (in.at(i, c) > in.at(i, best)) best = c;
    labels[i] = static_cast<std::uint8_t>(best);
  });
}

template <class In, class Out>
void gather_rows(const Queue& queue, In in, const std::int32_t* rows, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t i, std::int64_t c) {
    if (rows[i] >= 0) {
      copy_number(in, rows[i], c, out, i, c);
    } else {
      out.set(i, c, 0);
    }
  });
}

void pick_values(const Queue& queue, const std::int32_t* values, std::int64_t width, const std::int32_t* picked,
                 std::int64_t n, std::int32_t* out) {
  for_each_cell(queue, n, width,
                [=] __device__(std::int64_t i, std::int64_t j) { out[i * width + j] = values[picked[i] * width + j]; });
}

std::int64_t list_rows(const Queue& queue, const std::uint8_t* mask, std::int64_t n, std::int32_t* rows) {
  if (n == 0) return 0;
  const Arena::Mark mark = queue.arena().mark();
  auto* places = queue.arena().allocate<std::int32_t>(n);
  count_set(queue, mask, places, n);
  for_each(queue, n, [=] __device__(std::int64_t i) {
    if (mask[i] != 0) rows[places[i] - 1] = static_cast<std::int32_t>(i);
  });
  const std::int64_t count = queue.read(places + n - 1);
  queue.arena().rewind(mark);
  return count;
}

void place_values(const Queue& queue, const std::int32_t* values, const std::int32_t* places, std::int64_t n,
                  std::int32_t* out) {
  for_each(queue, n, [=] __device__(std::int64_t i) { out[places[i]] = values[i]; });
}

void number_rows(const Queue& queue, std::int64_t n, std::int64_t each, std::int32_t* out) {
  for_each(queue, n, [=] __device__(std::int64_t i) { out[i] = static_cast<std::int32_t>(i / each); });
}

void number_segments(const Queue& queue, const std::int64_t* splits, std::int64_t clouds, std::int64_t n,
                     std::int32_t* out) {
  for_each(queue, n, [=] __device__(std::int64_t i) {
    std::int64_t first = 0, count = clouds;  // the last cloud that starts at i or before
    while (count > 1) {
      const std::int64_t half = count / 2;
      if (splits[first + half] <= i) {
        first += half;
        count -= half;
      } else {
        count = half;
      }
    }
    out[i] = static_cast<std::int32_t>(first);
  });
}

void spread_bytes(const Queue& queue, const std::uint8_t* labels, const std::int32_t* picked,
                  const std::int32_t* places, std::int64_t n, std::uint8_t* out) {
  for_each(queue, n, [=] __device__(std::int64_t i) { out[places[i]] = labels[picked != nullptr ? picked[i] : i]; });
}

template <class In>
void spread_softmax(const Queue& queue, In logits, const std::int32_t* picked, const std::int32_t* places,
                    std::int64_t n, float* out) {
  for_each(queue, n, [=] __device__(std::int64_t i) {
    const std::int64_t row = picked != nullptr ? picked[i] : i;
    float* const scores = out + places[i] * logits.channels;
    float highest = logits.at(row, 0), sum = 0;
    for (std::int64_t c = 1; c < logits.channels; ++c)
      if (highest < logits.at(row, c)) highest = logits.at(row, c);
    for (std::int64_t c = 0; c < logits.channels; ++c) sum += scores[c] = expf(logits.at(row, c) - highest);
    for (std::int64_t c = 0; c < logits.channels; ++c) scores[c] /= sum;
  });
}

class CudaRowKernels final : public RowKernels {
 public:
  std::shared_ptr<const PackedWeights> pack(const Context& context, const float* weight, std::int64_t in_channels,
                                            std::int64_t out_channels, DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, nullptr, 1, in_channels, out_channels, dtype,
                                                 WeightOrder::kInOut);
  }

  std::shared_ptr<const PackedWeights> pack_i8(const Context& context, const QuantizedWeights& weights,
                                               std::int64_t in_channels, std::int64_t out_channels) const override {
    return std::make_shared<const DeviceWeights>(context, weights, nullptr, 1, in_channels, out_channels,
                                                 WeightOrder::kInOut);
  }

  std::shared_ptr<const PackedWeights> pack_transposed(const Context& context, const float* weight,
                                                       std::int64_t in_channels, std::int64_t out_channels,
                                                       DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, nullptr, 1, in_channels, out_channels, dtype,
                                                 WeightOrder::kOutIn);
  }

  void linear(const Context& context, const ConstRowView& in, const PackedWeights& weights, const Epilogue& epilogue,
              const RowView& out) const override {
    product(Queue(context, "linear"), in, {},
            device_weights("linear", weights, 1, in.channels, out.channels, in.dtype, context.device, WeightUse::kRows),
            epilogue, out);
  }

  void affine(const Context& context, const ConstRowView& in, const float* scale, const float* shift,
              const ConstRowView& residual, Activation activation, const RowView& out) const override {
    const Queue queue(context, "affine");
    const bool fused = are_fused(in, residual, out);
    if (scale == nullptr && shift == nullptr && residual.base == nullptr && activation.kind == Activation::Kind::kNone)
      return with_copies(
          "affine", [&](auto from, auto to) { copy_rows(queue, from, to); }, in, out);
    const UnroundedRows to(queue, activation, in.dtype, out);
    with_rows(
        "affine",
        [&](auto from, auto other, auto unrounded) {
          affine_rows(queue, from, scale, shift, other, activation, fused, unrounded);
        },
        in, residual, to.rows);
    apply_function(queue, activation, to.rows, out);
  }

  void apply(const Context& context, const Elementwise& f, const ConstRowView& in, const RowView& out) const override {
    const Queue queue(context, "apply");
    with_rows(
        "apply", [&](auto from, auto to) { apply_to_cells(queue, f, from, to); }, in, out);
  }

  void apply(const Context& context, const RowFunction& f, const ConstRowView& in, const RowView& out) const override {
    const Queue queue(context, "apply");
    with_rows(
        "apply", [&](auto from, auto to) { apply_to_rows(queue, f, from, to); }, in, out);
  }

  void multiply(const Context& context, const ConstRowView& a, const ConstRowView& b,
                const RowView& out) const override {
    const Queue queue(context, "multiply");
    with_rows(
        "multiply", [&](auto x, auto y, auto to) { multiply_rows(queue, x, y, to); }, a, b, out);
  }

  void matmul_picked(const Context& context, const ConstRowView& in, const ConstRowView& matrices,
                     const std::int32_t* picked, const RowView& out) const override {
    const Queue queue(context, "matmul");
    const bool fused = are_fused(in, matrices, out);
    with_rows(
        "matmul", [&](auto from, auto factors, auto to) { matmul_rows(queue, from, factors, picked, fused, to); }, in,
        matrices, out);
  }

  void argmax(const Context& context, const ConstRowView& in, std::uint8_t* labels) const override {
    const Queue queue(context, "argmax");
    with_rows(
        "argmax", [&](auto from) { argmax_rows(queue, from, labels); }, in);
  }

  void gather(const Context& context, const ConstRowView& in, const std::int32_t* picked,
              const RowView& out) const override {
    const Queue queue(context, "gather");
    with_copies(
        "gather", [&](auto from, auto to) { gather_rows(queue, from, picked, to); }, in, out);
  }

  void pick(const Context& context, const std::int32_t* values, std::int64_t width, const std::int32_t* picked,
            std::int64_t n, std::int32_t* out) const override {
    pick_values(Queue(context, "pick"), values, width, picked, n, out);
  }

  std::int64_t list(const Context& context, const std::uint8_t* mask, std::int64_t n,
                    std::int32_t* rows) const override {
    return list_rows(Queue(context, "list"), mask, n, rows);
  }

  void above(const Context& context, const ConstRowView& in, float threshold, std::uint8_t* mask) const override {
    cuda::above(Queue(context, "prune"), in, threshold, mask);
  }

  void top(const Context& context, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
           std::uint8_t* mask) const override {
    cuda::top(Queue(context, "top_k"), in, segment, count, mask);
  }

  void place(const Context& context, const std::int32_t* values, const std::int32_t* places, std::int64_t n,
             std::int32_t* out) const override {
    place_values(Queue(context, "place"), values, places, n, out);
  }

  void number(const Context& context, std::int64_t n, std::int64_t each, std::int32_t* out) const override {
    number_rows(Queue(context, "number"), n, each, out);
  }

  void number_clouds(const Context& context, const std::int64_t* splits, std::int64_t clouds,
                     std::int32_t* out) const override {
    const Queue queue(context, "number_clouds");
    const Arena::Mark mark = queue.arena().mark();
    auto* on_device = queue.arena().allocate<std::int64_t>(clouds + 1);
    queue.to_device(on_device, splits, static_cast<std::size_t>(clouds + 1) * sizeof(*splits));
    number_segments(queue, on_device, clouds, splits[clouds], out);
    queue.arena().rewind(mark);
  }

  void spread_labels(const Context& context, const std::uint8_t* labels, const std::int32_t* picked,
                     const std::int32_t* places, std::int64_t n, std::uint8_t* out) const override {
    spread_bytes(Queue(context, "labels"), labels, picked, places, n, out);
  }

  void spread_scores(const Context& context, const ConstRowView& logits, const std::int32_t* picked,
                     const std::int32_t* places, std::int64_t n, float* out) const override {
    const Queue queue(context, "scores");
    with_rows(
        "scores", [&](auto from) { spread_softmax(queue, from, picked, places, n, out); }, logits);
  }

  void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                       float* out) const override {
    cuda::weight_gradient(Queue(context, "weight_gradient"), in, grad, nullptr, 1, out);
  }

  void sum_rows(const Context& context, const ConstRowView& in, float* out) const override {
    cuda::sum_rows(Queue(context, "sum_rows"), in, out);
  }

  void batch_norm(const Context& context, const ConstRowView& in, const BatchNormLayer& layer,
                  const ConstRowView& residual, const RowView& out, float* mean, float* variance) const override {
    cuda::batch_norm(Queue(context, "batch_norm"), in, layer, residual, out, mean, variance);
  }

  void batch_norm_backward(const Context& context, const BatchNormBackward& backward, const RowView& grad_in,
                           const RowView& grad_residual, float* grad_weight, float* grad_bias) const override {
    cuda::batch_norm_backward(Queue(context, "batch_norm_backward"), backward, grad_in, grad_residual, grad_weight,
                              grad_bias);
  }
};

}  // namespace

const RowKernels& row_kernels() {
  static const CudaRowKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
