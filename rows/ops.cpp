#include <voxshift/rows/kernels.h>
#include <voxshift/rows/ops.h>
#include <voxshift/tensor/features.h>

namespace voxshift {
namespace {

void check_rows(const char* op, const Array& x) {
  check(x.dtype() == DType::kF32 && x.rank() == 2, "[", op, "] x expects f32 [N, C], found ", name(x.dtype()), " ",
        x.shape());
}

const float* channel_vector(const char* op, const char* what, const std::optional<Array>& values, std::int64_t channels,
                            Device device) {
  if (!values) return nullptr;
  check(values->dtype() == DType::kF32 && values->count() == channels, "[", op, "] ", what, " expects f32 [", channels,
        "], found ", name(values->dtype()), " ", values->shape());
  check(values->device() == device, "[", op, "] ", what, " is on ", name(values->device()), ", x is on ", name(device));
  return values->data<float>();
}

}  // namespace

Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias, Activation activation) {
  check(is_real(x.dtype()) && x.rank() == 2, "[linear] x expects f32 [N, C], f16 or bf16, found ", name(x.dtype()), " ",
        x.shape());
  check(weight.dtype() == DType::kF32 && weight.rank() == 2 && weight.dim(0) == x.dim(1),
        "[linear] weight expects f32 [", x.dim(1), ", Cout], found ", name(weight.dtype()), " ", weight.shape());
  check_weight_channels("linear", weight.dim(0), weight.dim(1));
  check(x.dim(0) <= INT32_MAX, "[linear] x expects at most 2^31 - 1 rows, found ", x.dim(0));
  check(weight.device() == x.device(), "[linear] weight is on ", name(weight.device()), ", x is on ", name(x.device()));
  const auto& kernels = row_kernels(x.device());
  Epilogue epilogue;
  epilogue.bias = channel_vector("linear", "bias", bias, weight.dim(1), x.device());
  epilogue.activation = activation;
  Array out({x.dim(0), weight.dim(1)}, x.dtype(), x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const auto packed = kernels.pack(context, weight.data<float>(), weight.dim(0), weight.dim(1), x.dtype());
  kernels.linear(context, rows_of(x), *packed, epilogue, rows_of(out));
  return out;
}

Array affine(const Array& x, const std::optional<Array>& scale, const std::optional<Array>& shift,
             Activation activation) {
  check_rows("affine", x);
  const float* scales = channel_vector("affine", "scale", scale, x.dim(1), x.device());
  const float* shifts = channel_vector("affine", "shift", shift, x.dim(1), x.device());
  Array out(x.shape(), DType::kF32, x.device());
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  row_kernels(x.device()).affine(context, rows_of(x), scales, shifts, {}, activation, rows_of(out));
  return out;
}

Array argmax(const Array& x) {
  check_rows("argmax", x);
  check(x.dim(1) >= 1 && x.dim(1) <= 256, "[argmax] expected 1 to 256 channels, found ", x.dim(1));
  Array labels({x.dim(0)}, DType::kU8, x.device());
  const Context context{x.device(), nullptr, num_threads(), nullptr};
  row_kernels(x.device()).argmax(context, rows_of(x), labels.data<std::uint8_t>());
  return labels;
}

}  // namespace voxshift
