#include <voxshift/kernels_cuda/dense_choice.h>
#include <voxshift/kernels_cuda/dense_library.h>
#include <voxshift/kernels_cuda/dense_product.h>
#include <voxshift/kernels_cuda/rows.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr std::int64_t kLeastAlignment = 8;  // of rows that the library is given

bool wanted(const Queue& queue, DenseOp op, DType dtype, std::int64_t in, std::int64_t out) {
  const DenseChoice choice = dense_choice();
  if (choice != DenseChoice::kMeasured) return choice == DenseChoice::kCublasLt;
  const auto wins = dense_wins();
  return !wins.empty() &&
         std::find(wins.begin(), wins.end(), DenseWin{architecture(queue), op, dtype, in, out}) != wins.end();
}

template <class Void>
DenseRows<Void> dense_rows(const BasicRowView<Void>& view) {
  return {view.base, view.row_stride, view.dtype};
}

bool is_dense_dtype(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16; }

bool can_multiply(const ConstRowView& in, const DeviceWeights& weights, const Epilogue& epilogue, const RowView& out) {
  using Kind = Activation::Kind;
  const Kind kind = epilogue.activation.kind;
  return is_dense_dtype(in.dtype) && (out.dtype == in.dtype || out.dtype == DType::kF32) &&
         weights.data.dtype() == in.dtype && weights.volume == 1 && residual_of(epilogue).base == nullptr &&
         (kind == Kind::kNone || kind == Kind::kRelu || kind == Kind::kFunction) && in.count == out.count &&
         in.channels > 0 && reinterpret_cast<std::uintptr_t>(epilogue.bias) % 16 == 0 &&
         dense_rows(in).alignment() >= kLeastAlignment && dense_rows(out).alignment() >= kLeastAlignment;
}

// The bias in the dtype of what comes out, as the library takes it.
const void* bias_of(const Queue& queue, const float* bias, const RowView& out) {
  if (bias == nullptr || out.dtype == DType::kF32) return bias;
  auto* const rounded = queue.arena().allocate<half_t>(out.channels);
  for_each(queue, out.channels, [=] __device__(std::int64_t c) { rounded[c] = from_float<half_t>(bias[c]); });
  return rounded;
}

bool counted(bool done) {
  if (done) count_dense_call();
  return done;
}

}  // namespace

bool dense_product(const Queue& queue, const ConstRowView& in, const DeviceWeights& weights, const Epilogue& epilogue,
                   const RowView& out) {
  if (!wanted(queue, DenseOp::kProduct, in.dtype, in.channels, out.channels) ||
      !can_multiply(in, weights, epilogue, out))
    return false;
  const Arena::Mark mark = queue.arena().mark();
  const DenseProduct call{out.count,
                          in.channels,
                          out.channels,
                          dense_rows(in),
                          {weights.data.memory(), weights.padded_out, in.dtype},
                          bias_of(queue, epilogue.bias, out),
                          epilogue.activation.kind == Activation::Kind::kRelu,
                          dense_rows(out)};
  const bool done = counted(library_multiplies(queue, call));
  queue.arena().rewind(mark);
  return done;
}

bool dense_weight_gradient(const Queue& queue, const ConstRowView& in, const ConstRowView& grad, float* out) {
  if (!wanted(queue, DenseOp::kWeightGradient, in.dtype, in.channels, grad.channels) || in.count == 0 ||
      !is_dense_dtype(in.dtype) || grad.dtype != in.dtype || dense_rows(in).alignment() < kLeastAlignment ||
      dense_rows(grad).alignment() < kLeastAlignment)
    return false;
  return counted(library_multiplies(
      queue, DenseGradient{in.count, in.channels, grad.channels, dense_rows(in), dense_rows(grad), out}));
}

}  // namespace voxshift::cuda
