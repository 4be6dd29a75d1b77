#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/tensor/packed_weights.h>

#include <utility>

namespace voxshift {
namespace {

Window::Extents per_axis(const char* op, const char* what, int dims, const std::vector<std::int32_t>& values,
                         std::int32_t rest) {
  check(values.size() == 1 || values.size() == static_cast<std::size_t>(dims), "[", op, "] ", what, " expects 1 or ",
        dims, " values, found ", values.size());
  Window::Extents result{rest, rest, rest, rest};
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) result[d] = values[values.size() == 1 ? 0 : d];
  return result;
}

void check_operands(const char* op, const SparseTensor& x, const Array& weight, const Window& window) {
  check(weight.dtype() == DType::kF32 && weight.rank() == 3 && weight.dim(0) == window.volume(), "[", op,
        "] weight expects f32 [", window.volume(), ", Cin, Cout], found ", name(weight.dtype()), " ", weight.shape());
  check_weight_channels(op, weight.dim(1), weight.dim(2));
  check(weight.dim(1) == x.channels(), "[", op, "] weight expects ", weight.dim(1), " channels, tensor has ",
        x.channels());
  check(weight.device() == x.device(), "[", op, "] weight is on ", name(weight.device()), ", tensor is on ",
        name(x.device()));
}

Window::Extents finer_stride(const char* op, const Coordinates& x, const Window& window) {
  Window::Extents stride = x.stride();
  for (std::size_t d = 0; d < static_cast<std::size_t>(x.dims()); ++d) {
    check(stride[d] % window.stride[d] == 0, "[", op, "] a tensor of stride ", stride[d], " on axis ", d,
          " cannot go up by ", window.stride[d],
          "; give it its stride where it is made, with SparseTensor(..., stride=)");
    stride[d] /= window.stride[d];
  }
  return stride;
}

}  // namespace

Window make_window(const char* op, int dims, const ConvOptions& options) {
  Window window;
  window.dims = dims;
  window.size = per_axis(op, "kernel_size", dims, options.kernel_size, 1);
  window.stride = per_axis(op, "stride", dims, options.stride, 1);
  window.dilation = per_axis(op, "dilation", dims, options.dilation, 1);
  window.pad = per_axis(op, "padding", dims, options.padding, 0);
  window.semantics = options.semantics;
  window.check_valid(op);
  check(window.semantics == Semantics::kBounded || window.pad == Window::Extents{0, 0, 0, 0}, "[", op,
        "] padding belongs to bounded semantics; give semantics=\"bounded\" or padding=0");
  check(per_axis(op, "output_padding", dims, options.output_padding, 0) == Window::Extents{0, 0, 0, 0}, "[", op,
        "] output_padding belongs to generative_conv_transpose");
  return window;
}

Coordinates output_coordinates(const Coordinates& x, const Window& window) {
  Window::Extents stride = x.stride();
  std::optional<Window::Extents> shape = x.shape();
  for (std::size_t d = 0; d < static_cast<std::size_t>(x.dims()); ++d) {
    check(stride[d] <= INT32_MAX / window.stride[d], "[conv] a tensor of stride ", stride[d], " on axis ", d,
          " cannot go down by ", window.stride[d]);
    stride[d] *= window.stride[d];
    if (shape && window.semantics == Semantics::kFloor)
      (*shape)[d] = static_cast<std::int32_t>((std::int64_t{(*shape)[d]} + window.stride[d] - 1) / window.stride[d]);
  }
  if (shape && window.semantics == Semantics::kBounded) shape = bounded_shape(*shape, window);
  return {x.cache()->coarser(x.map(), window, x.shape()), x.cache(), stride, shape};
}

ConvPlan plan_conv(const char* op, const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  const Window window = make_window(op, x.dims(), options);
  check_operands(op, x, weight, window);
  const Coordinates out = output_coordinates(x, window);
  return {out, x.cache()->kernel_map(x.map(), out.map(), window), false};
}

ConvPlan plan_conv_transpose(const char* op, const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  const Window window = make_window(op, x.dims(), options);
  check_operands(op, x, weight, window);
  const auto stride = finer_stride(op, x, window);
  const auto [out, shape] = x.cache()->origin(x.map(), window, x.shape());
  return {{out, x.cache(), stride, shape}, x.cache()->kernel_map(out, x.map(), window), true};
}

ConvPlan plan_generative_conv_transpose(const char* op, const SparseTensor& x, const Array& weight,
                                        const ConvOptions& options) {
  ConvOptions others = options;
  others.output_padding = {0};
  Window window = make_window(op, x.dims(), others);
  window.output_pad = per_axis(op, "output_padding", x.dims(), options.output_padding, 0);
  window.check_valid(op);
  const bool bounded = window.semantics == Semantics::kBounded;
  check(bounded || window.output_pad == Window::Extents{0, 0, 0, 0}, "[", op,
        "] output_padding belongs to bounded semantics; give semantics=\"bounded\" or output_padding=0");
  check_operands(op, x, weight, window);
  const auto stride = finer_stride(op, x, window);
  const auto out = x.cache()->generated(x.map(), window, x.shape());
  const auto shape = bounded ? std::optional(finer_shape(*x.shape(), window)) : std::nullopt;
  return {{out, x.cache(), stride, shape}, x.cache()->kernel_map(out, x.map(), window), true};
}

}  // namespace voxshift
