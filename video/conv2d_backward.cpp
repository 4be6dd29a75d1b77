#include <voxshift/video/checks.h>
#include <voxshift/video/conv2d_backward.h>
#include <voxshift/video/kernels.h>

namespace voxshift {
namespace {

constexpr const char* kOp = "conv2d_backward";

// Columns of one group of a weight [Cout, Cin / groups, k, k] are whole rows of its first axis.
struct Group {
  std::int64_t inputs, outputs, numbers;
};

}  // namespace

Conv2dGradients conv2d_backward(const Array& x, const Array& weight, const Array& grad, const Conv2dOptions& options,
                                WantedGradients wanted) {
  check_images(kOp, x);
  check(weight.dtype() == DType::kF32 && weight.rank() == 4 && weight.count() > 0 && weight.dim(2) == weight.dim(3) &&
            weight.dim(2) <= kMostKernel2d,
        "[", kOp, "] weight expects f32 [Cout, Cin / groups, k, k], k of 1 to ", kMostKernel2d, ", found ",
        name(weight.dtype()), " ", weight.shape());
  check_weight_channels(kOp, weight.dim(1), weight.dim(0));
  check(options.groups >= 1 && weight.dim(0) % options.groups == 0, "[", kOp, "] groups expects a divisor of the ",
        weight.dim(0), " output channels, found ", options.groups);
  check(weight.dim(1) * options.groups == channels_of(x), "[", kOp, "] weight expects ", weight.dim(1) * options.groups,
        " channels, x has ", channels_of(x));
  const Window2d window{weight.dim(2), options.stride, options.padding};
  const Extent2d in = extent_of(x), out = checked_out(kOp, window, in);
  check(images_of(x) * std::max(in.pixels(), out.pixels()) <= kMostPixels, "[", kOp,
        "] a stack expects at most 2^31 - 1 pixels");
  Shape expected = x.shape();
  expected[expected.size() - 3] = out.height;
  expected[expected.size() - 2] = out.width;
  expected.back() = weight.dim(0);
  check(grad.dtype() == x.dtype() && grad.shape() == expected, "[", kOp, "] grad expects ", name(x.dtype()), " ",
        expected, ", found ", name(grad.dtype()), " ", grad.shape());
  check(weight.device() == x.device() && grad.device() == x.device(), "[", kOp, "] weight is on ",
        name(weight.device()), ", grad on ", name(grad.device()), ", x on ", name(x.device()));

  const auto& kernels = video_kernels(x.device());
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  Conv2dGradients gradients;
  if (wanted.input) gradients.input.emplace(x.shape(), x.dtype(), x.device());
  if (wanted.weight) gradients.weight.emplace(weight.shape(), DType::kF32, x.device());
  const std::int64_t images = images_of(x);
  const auto* weights = weight.data<float>();
  if (options.groups > 1 && weight.dim(1) == 1 && weight.dim(0) == options.groups) {
    if (wanted.input)
      kernels.depthwise_input_gradient(context, window, in, images, pixels_of(grad), weights,
                                       pixels_of(*gradients.input));
    if (wanted.weight)
      kernels.depthwise_weight_gradient(context, window, in, images, pixels_of(x), pixels_of(grad),
                                        gradients.weight->data<float>());
    return gradients;
  }
  const Group group{weight.dim(1), weight.dim(0) / options.groups, weight.count() / options.groups};
  for (std::int64_t g = 0; g < options.groups; ++g) {
    const ConstRowView outputs = pixels_of(grad).columns(g * group.outputs, group.outputs);
    if (wanted.input)
      kernels.conv2d_input_gradient(context, window, in, images, outputs, weights + g * group.numbers,
                                    pixels_of(*gradients.input).columns(g * group.inputs, group.inputs));
    if (wanted.weight)
      kernels.conv2d_weight_gradient(context, window, in, images, pixels_of(x).columns(g * group.inputs, group.inputs),
                                     outputs, gradients.weight->data<float>() + g * group.numbers);
  }
  return gradients;
}

}  // namespace voxshift
