#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/kernels.h>

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
        "] weight expects f32 [", window.volume(), ", Cin, Cout], found ", name(weight.dtype()), " ",
        to_string(weight.shape()));
  check(weight.dim(1) == x.channels(), "[", op, "] weight expects ", weight.dim(1), " channels, tensor has ",
        x.channels());
  check(weight.device() == x.device(), "[", op, "] weight is on ", name(weight.device()), ", tensor is on ",
        name(x.device()));
}

Epilogue epilogue_of(const char* op, const ConvOptions& options, std::int64_t channels,
                     const std::shared_ptr<const CoordinateMap>& coordinates) {
  Epilogue epilogue;
  epilogue.activation = options.activation;
  if (options.bias) {
    check(options.bias->dtype() == DType::kF32 && options.bias->count() == channels, "[", op, "] bias expects f32 [",
          channels, "], found ", name(options.bias->dtype()), " ", to_string(options.bias->shape()));
    check(options.bias->device() == coordinates->device(), "[", op, "] bias is on ", name(options.bias->device()),
          ", tensor is on ", name(coordinates->device()));
    epilogue.bias = std::as_const(*options.bias).data<float>();
  }
  if (options.residual) {
    check(options.residual->map()->same_as(*coordinates) && options.residual->channels() == channels, "[", op,
          "] residual expects ", channels, " channels on the output's coordinates, found ",
          options.residual->channels(), " on ", options.residual->size(), " rows");
    epilogue.residual = rows_of(options.residual->features());
  }
  return epilogue;
}

Array run(const char* op, const SparseTensor& x, const Array& weight, const ConvOptions& options,
          const KernelMapView& map, const std::shared_ptr<const CoordinateMap>& coordinates) {
  const auto& kernels = sparse_conv_kernels(x.device());
  const Epilogue epilogue = epilogue_of(op, options, weight.dim(2), coordinates);
  const auto packed = kernels.pack(weight.data<float>(), weight.dim(0), weight.dim(1), weight.dim(2));
  Array out({coordinates->size(), weight.dim(2)}, DType::kF32, x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  kernels.conv(context, rows_of(x.features()), map, *packed, epilogue, rows_of(out));
  return out;
}

Window::Extents finer_stride(const char* op, const SparseTensor& x, const Window& window) {
  Window::Extents stride = x.stride();
  for (std::size_t d = 0; d < static_cast<std::size_t>(x.dims()); ++d) {
    check(stride[d] % window.stride[d] == 0, "[", op, "] a tensor of stride ", stride[d], " on axis ", d,
          " cannot go up by ", window.stride[d]);
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
        "] padding belongs to bounded semantics");
  return window;
}

OutputGrid output_grid(const SparseTensor& x, const Window& window) {
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
  return {x.cache()->coarser(x.map(), window, x.shape()), stride, shape};
}

SparseTensor conv(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  const Window window = make_window("conv", x.dims(), options);
  check_operands("conv", x, weight, window);
  const OutputGrid grid = output_grid(x, window);
  const auto map = x.cache()->kernel_map(x.map(), grid.map, window);
  return {grid.map, x.cache(), run("conv", x, weight, options, map->forward(), grid.map), grid.stride, grid.shape};
}

SparseTensor conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  const Window window = make_window("conv_transpose", x.dims(), options);
  check_operands("conv_transpose", x, weight, window);
  const auto stride = finer_stride("conv_transpose", x, window);
  const auto [out, shape] = x.cache()->origin(x.map(), window, x.shape());
  const auto map = x.cache()->kernel_map(out, x.map(), window);
  return {out, x.cache(), run("conv_transpose", x, weight, options, map->transposed(), out), stride, shape};
}

SparseTensor generative_conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  const Window window = make_window("generative_conv_transpose", x.dims(), options);
  check(window.semantics == Semantics::kFloor, "[generative_conv_transpose] bounded semantics are not defined here");
  check_operands("generative_conv_transpose", x, weight, window);
  const auto stride = finer_stride("generative_conv_transpose", x, window);
  const auto out = x.cache()->generated(x.map(), window);
  const auto map = x.cache()->kernel_map(out, x.map(), window);
  return {out, x.cache(), run("generative_conv_transpose", x, weight, options, map->transposed(), out), stride,
          std::nullopt};
}

Array kernel_map(const SparseTensor& x, const ConvOptions& options) {
  const Window window = make_window("kernel_map", x.dims(), options);
  const auto out = x.cache()->coarser(x.map(), window, x.shape());
  return x.cache()->kernel_map(x.map(), out, window)->pairs();
}

}  // namespace voxshift
