#include <voxshift/sparse_conv/conv.h>
#include <voxshift/sparse_conv/conv_plan.h>
#include <voxshift/sparse_conv/kernels.h>

#include <utility>

namespace voxshift {
namespace {

Epilogue epilogue_of(const char* op, const ConvOptions& options, std::int64_t channels, DType dtype,
                     const std::shared_ptr<const CoordinateMap>& coordinates) {
  Epilogue epilogue;
  epilogue.activation = options.activation;
  if (options.bias) {
    check(options.bias->dtype() == DType::kF32 && options.bias->count() == channels, "[", op, "] bias expects f32 [",
          channels, "], found ", name(options.bias->dtype()), " ", options.bias->shape());
    check(options.bias->device() == coordinates->device(), "[", op, "] bias is on ", name(options.bias->device()),
          ", tensor is on ", name(coordinates->device()));
    epilogue.bias = std::as_const(*options.bias).data<float>();
  }
  if (options.residual) {
    check(options.residual->map()->same_as(*coordinates) && options.residual->channels() == channels, "[", op,
          "] residual expects ", channels, " channels on the output's coordinates, found ",
          options.residual->channels(), " on ", options.residual->size(), " rows");
    check(options.residual->dtype() == dtype, "[", op, "] residual expects ", name(dtype), ", found ",
          name(options.residual->dtype()));
    epilogue.residual = rows_of(options.residual->features());
  }
  return epilogue;
}

SparseTensor run(const char* op, const ConvPlan& plan, const SparseTensor& x, const Array& weight,
                 const ConvOptions& options) {
  const auto& kernels = sparse_conv_kernels(x.device());
  const Epilogue epilogue = epilogue_of(op, options, weight.dim(2), x.dtype(), plan.out.map());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const auto packed =
      kernels.pack(context, weight.data<float>(), weight.dim(0), weight.dim(1), weight.dim(2), x.dtype());
  Array out({plan.out.size(), weight.dim(2)}, x.dtype(), x.device());
  kernels.conv(context, rows_of(x.features()), plan.forward(), *packed, epilogue, rows_of(out));
  return {plan.out, out};
}

}  // namespace

SparseTensor conv(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  return run("conv", plan_conv("conv", x, weight, options), x, weight, options);
}

SparseTensor conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  constexpr const char* kOp = "conv_transpose";
  return run(kOp, plan_conv_transpose(kOp, x, weight, options), x, weight, options);
}

SparseTensor generative_conv_transpose(const SparseTensor& x, const Array& weight, const ConvOptions& options) {
  constexpr const char* kOp = "generative_conv_transpose";
  return run(kOp, plan_generative_conv_transpose(kOp, x, weight, options), x, weight, options);
}

Array kernel_map(const Coordinates& x, const ConvOptions& options) {
  const Window window = make_window("kernel_map", x.dims(), options);
  const auto out = x.cache()->coarser(x.map(), window, x.shape());
  return x.cache()->kernel_map(x.map(), out, window)->pairs();
}

}  // namespace voxshift
