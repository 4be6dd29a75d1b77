// Ops on rows on the CPU.
#include <voxshift/kernels_cpu/batch_norm.h>
#include <voxshift/kernels_cpu/consecutive_rows.h>
#include <voxshift/kernels_cpu/elementwise.h>
#include <voxshift/kernels_cpu/finish_rows.h>
#include <voxshift/kernels_cpu/narrow_rows.h>
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/selection.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/weight_gradient.h>
#include <voxshift/kernels_cpu/with_type.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/softmax.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "voxshift/kernels_cpu/rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <voxshift/kernels_cpu/block_rows.h>
#include <voxshift/kernels_cpu/matmul.h>

#ifndef VOXSHIFT_KERNELS_CPU_ROWS
#define VOXSHIFT_KERNELS_CPU_ROWS
namespace voxshift::cpu {

constexpr std::int64_t kLinearRows = kConsecutiveRows;  // rows of one task: their accumulators stay in L1 and L2

}  // namespace voxshift::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace voxshift::cpu::HWY_NAMESPACE {

void sum_rows_block(const ConstRowView& in, const PackedPanels& weights, const float* bias, std::int64_t first,
                    std::int64_t last, float* acc) {
  const std::int64_t stride = weights.panels() * kPanel;
  start_rows(bias, weights.out_channels, acc, stride, last - first);
  const Product product{static_cast<const float*>(in.base) + first * in.row_stride,
                        in.row_stride,
                        weights.in_channels,
                        weights.data,
                        acc,
                        stride,
                        weights.panels(),
                        0};
  multiply(product, consecutive_rows(), consecutive_rows(), last - first);
}

/// out[c] = act(a[c] * scale[c] + shift[c] + residual[c]) for one row; absent operands are null.
struct ElementwiseRow {
  const float* a;
  const float* scale;
  const float* shift;
  const float* residual;
  std::int64_t channels;
  float slope;
  float* out;

  template <Activation::Kind kKind>
  HWY_INLINE void run() const {
    const Floats d;
    const FloatVector slopes = hn::Set(d, slope);
    std::int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      FloatVector x = hn::LoadU(d, a + c);
      if (scale) x = hn::Mul(x, hn::LoadU(d, scale + c));
      if (shift) x = hn::Add(x, hn::LoadU(d, shift + c));
      if (residual) x = hn::Add(x, hn::LoadU(d, residual + c));
      hn::StoreU(activate<kKind>(x, slopes), d, out + c);
    }
    if (c == channels) return;
    const std::int64_t left = channels - c;
    FloatVector x = load_some(a + c, left);
    if (scale) x = hn::Mul(x, load_some(scale + c, left));
    if (shift) x = hn::Add(x, load_some(shift + c, left));
    if (residual) x = hn::Add(x, load_some(residual + c, left));
    store_some(activate<kKind>(x, slopes), out + c, left);
  }
};

void elementwise_row(const float* a, const float* scale, const float* shift, const float* residual,
                     std::int64_t channels, const Activation& activation, float* out) {
  with_activation(activation.kind, ElementwiseRow{a, scale, shift, residual, channels, activation.slope, out});
}

/// out[d] = sum of in[c] * matrix[c * out_channels + d]
void row_times_matrix(const float* in, std::int64_t in_channels, const float* matrix, std::int64_t out_channels,
                      float* out) {
  for (std::int64_t d = 0; d < out_channels; d += kLanes) {
    const std::int64_t count = std::min<std::int64_t>(kLanes, out_channels - d);
    FloatVector sum = hn::Zero(Floats());
    for (std::int64_t c = 0; c < in_channels; ++c)
      sum = hn::MulAdd(hn::Set(Floats(), in[c]), load_lanes(matrix + c * out_channels + d, count), sum);
    store_lanes(sum, out + d, count);
  }
}

}  // namespace voxshift::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace voxshift::cpu {
HWY_EXPORT(sum_rows_block);
HWY_EXPORT(elementwise_row);
HWY_EXPORT(row_times_matrix);
namespace {

constexpr std::int64_t kGrain = 2048;
constexpr std::int64_t kMaskWord = sizeof(std::uint64_t);  // flags of a mask that are looked at together

const float* row(const ConstRowView& view, std::int64_t i) {
  return static_cast<const float*>(view.base) + i * view.row_stride;
}

float* row(const RowView& view, std::int64_t i) { return static_cast<float*>(view.base) + i * view.row_stride; }

template <class Body>
void for_rows(const Context& context, std::int64_t count, const Body& body) {
  parallel_ranges(context, count, kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) body(i);
  });
}

/// body(first, last, sums, scratch) for pieces of [0, count), with memory of the thread's own: sums of `stride` numbers
/// a row, and as many bytes as asked for.
template <class Body>
void for_linear_blocks(const Context& context, std::int64_t count, std::int64_t stride, std::int64_t scratch_bytes,
                       const Body& body) {
  const Arena::Mark mark = context.arena->mark();
  auto* const sums = context.arena->allocate<float>(kLinearRows * stride * context.threads);
  auto* const scratch = context.arena->allocate<std::byte>(scratch_bytes * context.threads);
  parallel_for(context, (count + kLinearRows - 1) / kLinearRows, [&](std::int64_t b, int thread) {
    const std::int64_t first = b * kLinearRows;
    body(first, std::min(count, first + kLinearRows), sums + thread * kLinearRows * stride,
         scratch + thread * scratch_bytes);
  });
  context.arena->rewind(mark);
}

class CpuRowKernels final : public RowKernels {
 public:
  std::shared_ptr<const PackedWeights> pack(const Context& context, const float* weight, std::int64_t in_channels,
                                            std::int64_t out_channels, DType dtype) const override {
    return pack_weights("linear", context, weight, 1, in_channels, out_channels, dtype);
  }

  std::shared_ptr<const PackedWeights> pack_i8(const Context& context, const QuantizedWeights& weights,
                                               std::int64_t in_channels, std::int64_t out_channels) const override {
    return std::make_shared<const PackedNarrow>(context, narrow_product(DType::kI8), weights, 1, in_channels,
                                                out_channels);
  }

  std::shared_ptr<const PackedWeights> pack_transposed(const Context& context, const float* weight,
                                                       std::int64_t in_channels, std::int64_t out_channels,
                                                       DType dtype) const override {
    check<BackendUnavailable>(dtype == DType::kF32, "[linear_backward] the CPU has no kernel for ", name(dtype));
    return std::make_shared<const PackedPanels>(context, weight, 1, in_channels, out_channels, WeightOrder::kOutIn);
  }

  void linear(const Context& context, const ConstRowView& in, const PackedWeights& weights, const Epilogue& epilogue,
              const RowView& out) const override {
    if (in.dtype == DType::kF32) {
      const auto& panels = packed_as<PackedPanels>("linear", weights, 1, in.channels, out.channels);
      const auto sum_rows_block = HWY_DYNAMIC_DISPATCH(sum_rows_block);
      for_linear_blocks(context, out.count, panels.panels() * kPanel, 0,
                        [&](std::int64_t first, std::int64_t last, float* sums, std::byte*) {
                          sum_rows_block(in, panels, epilogue.bias, first, last, sums);
                          finish_rows({epilogue, sums, panels.panels() * kPanel, first, last - first, out});
                        });
      return;
    }
    const auto& panels = packed_for("linear", weights, in, 1, out.channels);
    const std::int64_t stride = panels.panels() * kPanel;
    const Arena::Mark mark = context.arena->mark();
    const NarrowWeights ready(context, panels, out.count > kLinearRows);
    for_linear_blocks(context, out.count, stride, ready.scratch_bytes(),
                      [&](std::int64_t first, std::int64_t last, float* sums, std::byte* scratch) {
                        start_narrow_sums(panels, epilogue.bias, last - first, sums);
                        ready.multiply(in.rows(first, last - first), 0, nullptr, nullptr, last - first, 0, sums,
                                       scratch);
                        finish_rows({epilogue, sums, stride, first, last - first, out, panels.multiplier});
                      });
    context.arena->rewind(mark);
  }

  void affine(const Context& context, const ConstRowView& in, const float* scale, const float* shift,
              const ConstRowView& residual, Activation activation, const RowView& out) const override {
    check_numbers("affine", in, residual, out);
    if (!all_are(DType::kF32, in, residual, out))
      return affine_numbers(context, {in, scale, shift, residual, activation, out});
    const auto elementwise_row = HWY_DYNAMIC_DISPATCH(elementwise_row);
    for_rows(context, out.count, [&](std::int64_t i) {
      elementwise_row(row(in, i), scale, shift, residual.base ? row(residual, i) : nullptr, out.channels, activation,
                      row(out, i));
      if (activation.kind == Activation::Kind::kFunction) apply_function(activation, out.rows(i, 1));
    });
  }

  void apply(const Context& context, const Elementwise& f, const ConstRowView& in, const RowView& out) const override {
    check_numbers("apply", in, out);
    if (!all_are(DType::kF32, in, out)) return apply_numbers(context, f, in, out);
    for_rows(context, out.count, [&](std::int64_t i) { cpu::apply(f, row(in, i), out.channels, row(out, i)); });
  }

  void apply(const Context& context, const RowFunction& f, const ConstRowView& in, const RowView& out) const override {
    check_numbers("apply", in, out);
    if (!all_are(DType::kF32, in, out)) return apply_numbers(context, f, in, out);
    for_rows(context, out.count, [&](std::int64_t i) { cpu::apply(f, row(in, i), out.channels, row(out, i)); });
  }

  void multiply(const Context& context, const ConstRowView& a, const ConstRowView& b,
                const RowView& out) const override {
    check_numbers("multiply", a, b, out);
    if (!all_are(DType::kF32, a, b, out)) return multiply_numbers(context, a, b, out);
    for_rows(context, out.count, [&](std::int64_t i) {
      std::transform(row(a, i), row(a, i) + out.channels, row(b, i), row(out, i), std::multiplies<>());
    });
  }

  void matmul_picked(const Context& context, const ConstRowView& in, const ConstRowView& matrices,
                     const std::int32_t* picked, const RowView& out) const override {
    check_numbers("matmul", in, matrices, out);
    if (!all_are(DType::kF32, in, matrices, out)) return matmul_numbers(context, in, matrices, picked, out);
    const auto row_times_matrix = HWY_DYNAMIC_DISPATCH(row_times_matrix);
    for_rows(context, out.count, [&](std::int64_t i) {
      if (picked[i] < 0) {
        std::fill_n(row(out, i), out.channels, 0.0f);
      } else {
        row_times_matrix(row(in, i), in.channels, row(matrices, picked[i]), out.channels, row(out, i));
      }
    });
  }

  void argmax(const Context& context, const ConstRowView& in, std::uint8_t* labels) const override {
    check_numbers("argmax", in);
    const auto highest = [&](const float* x) {
      return static_cast<std::uint8_t>(std::max_element(x, x + in.channels) - x);
    };
    if (in.dtype != DType::kF32)
      return for_rows_with(context, in.count, in.channels, [&](std::int64_t i, float* floats) {
        read_row(in, i, floats);
        labels[i] = highest(floats);
      });
    for_rows(context, in.count, [&](std::int64_t i) { labels[i] = highest(row(in, i)); });
  }

  void gather(const Context& context, const ConstRowView& in, const std::int32_t* rows,
              const RowView& out) const override {
    check_numbers("gather", in, out);
    const RowCopy copy(in, out);
    for_rows(context, out.count, [&](std::int64_t i) { copy(rows[i], i); });
  }

  void pick(const Context& context, const std::int32_t* values, std::int64_t width, const std::int32_t* picked,
            std::int64_t n, std::int32_t* out) const override {
    for_rows(context, n, [&](std::int64_t i) { std::copy_n(values + picked[i] * width, width, out + i * width); });
  }

  std::int64_t list(const Context&, const std::uint8_t* mask, std::int64_t n, std::int32_t* rows) const override {
    std::int64_t count = 0, i = 0;
    for (std::uint64_t word; i + kMaskWord <= n; i += kMaskWord) {
      std::memcpy(&word, mask + i, kMaskWord);
      if (word == 0) continue;
      for (std::int64_t j = i; j < i + kMaskWord; ++j) {
        rows[count] = static_cast<std::int32_t>(j);
        count += mask[j] != 0;
      }
    }
    for (; i < n; ++i)
      if (mask[i] != 0) rows[count++] = static_cast<std::int32_t>(i);
    return count;
  }

  void above(const Context& context, const ConstRowView& in, float threshold, std::uint8_t* mask) const override {
    cpu::above(context, in, threshold, mask);
  }

  void top(const Context& context, const ConstRowView& in, const std::int32_t* segment, std::int64_t count,
           std::uint8_t* mask) const override {
    cpu::top(context, in, segment, count, mask);
  }

  void place(const Context& context, const std::int32_t* values, const std::int32_t* places, std::int64_t n,
             std::int32_t* out) const override {
    for_rows(context, n, [&](std::int64_t i) { out[places[i]] = values[i]; });
  }

  void number(const Context& context, std::int64_t n, std::int64_t each, std::int32_t* out) const override {
    for_rows(context, n, [&](std::int64_t i) { out[i] = static_cast<std::int32_t>(i / each); });
  }

  void number_clouds(const Context&, const std::int64_t* splits, std::int64_t clouds,
                     std::int32_t* out) const override {
    for (std::int64_t b = 0; b < clouds; ++b)
      std::fill(out + splits[b], out + splits[b + 1], static_cast<std::int32_t>(b));
  }

  void spread_labels(const Context& context, const std::uint8_t* labels, const std::int32_t* picked,
                     const std::int32_t* places, std::int64_t n, std::uint8_t* out) const override {
    for_rows(context, n, [&](std::int64_t i) { out[places[i]] = labels[picked != nullptr ? picked[i] : i]; });
  }

  void spread_scores(const Context& context, const ConstRowView& logits, const std::int32_t* picked,
                     const std::int32_t* places, std::int64_t n, float* out) const override {
    check_numbers("spread_scores", logits);
    const auto channels = static_cast<std::size_t>(logits.channels);
    for_rows(context, n, [&](std::int64_t i) {
      const std::int64_t from = picked != nullptr ? picked[i] : i;
      float* const scores = out + places[i] * logits.channels;
      if (logits.dtype == DType::kF32) return softmax({row(logits, from), channels}, {scores, channels});
      read_row(logits, from, scores);
      softmax({scores, channels}, {scores, channels});
    });
  }

  void weight_gradient(const Context& context, const ConstRowView& in, const ConstRowView& grad,
                       float* out) const override {
    const PairList all{nullptr, nullptr, in.count};
    cpu::weight_gradient(context, in, grad, &all, 1, out);
  }

  void sum_rows(const Context& context, const ConstRowView& in, float* out) const override {
    cpu::sum_rows(context, in, out);
  }

  void batch_norm(const Context& context, const ConstRowView& in, const BatchNormLayer& layer,
                  const ConstRowView& residual, const RowView& out, float* mean, float* variance) const override {
    cpu::batch_norm(context, in, layer, residual, out, mean, variance);
  }

  void batch_norm_backward(const Context& context, const BatchNormBackward& norm, const RowView& grad_in,
                           const RowView& grad_residual, float* grad_weight, float* grad_bias) const override {
    cpu::batch_norm_backward(context, norm, grad_in, grad_residual, grad_weight, grad_bias);
  }
};

}  // namespace

const RowKernels& row_kernels() {
  choose_target();
  static const CpuRowKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
#endif
