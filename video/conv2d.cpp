#include <voxshift/tensor/result_size.h>
#include <voxshift/video/checks.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/grouped_conv2d.h>
#include <voxshift/video/kernels.h>

namespace voxshift {
namespace {

void check_weight(const char* op, const Array& weight, std::int64_t groups) {
  check(weight.dtype() == DType::kF32 && weight.rank() == 4 && weight.count() > 0 && weight.dim(2) == weight.dim(3),
        "[", op, "] weight expects f32 [Cout, Cin / groups, k, k], found ", name(weight.dtype()), " ", weight.shape());
  check_weight_channels(op, weight.dim(1), weight.dim(0));
  check(weight.dim(2) <= kMostKernel2d, "[", op, "] kernel expects 1 to ", kMostKernel2d, ", found ", weight.dim(2));
  check(groups >= 1 && weight.dim(0) % groups == 0, "[", op, "] groups expects a divisor of the ", weight.dim(0),
        " output channels, found ", groups);
}

const float* checked_bias(const char* op, const std::optional<Array>& bias, const Array& weight) {
  if (!bias) return nullptr;
  check(bias->dtype() == DType::kF32 && bias->shape() == Shape{weight.dim(0)}, "[", op, "] bias expects f32 [",
        weight.dim(0), "], found ", name(bias->dtype()), " ", bias->shape());
  check(bias->device() == weight.device(), "[", op, "] bias is on ", name(bias->device()), ", weight is on ",
        name(weight.device()));
  return bias->data<float>();
}

// The packed convolution of a call, fitting x.
GroupedConv2d pack(const Array& x, const Array& weight, const std::optional<Array>& bias,
                   const Conv2dOptions& options) {
  check_images("conv2d", x);
  GroupedConv2d conv("conv2d", weight, bias, options, x.dtype());
  check(channels_of(x) == conv.in_channels(), "[conv2d] weight expects ", conv.in_channels(), " channels, x has ",
        channels_of(x));
  check(weight.device() == x.device(), "[conv2d] weight is on ", name(weight.device()), ", x is on ", name(x.device()));
  return conv;
}

void run(Array& out, const Array& x, const GroupedConv2d& conv) {
  Arena scratch(x.device());
  const Context context{x.device(), nullptr, num_threads(), &scratch};
  const ConstRowView from = pixels_of(x);
  const RowView to = pixels_of(out);
  if (conv.window().pointwise() && from.count <= kMostPixels)
    return conv.run(context, {from.count, 1}, from, {nullptr, to.count}, to);
  const std::int64_t in_pixels = extent_of(x).pixels(), out_pixels = extent_of(out).pixels();
  for (std::int64_t image = 0; image < images_of(x); ++image)
    conv.run(context, extent_of(x), from.rows(image * in_pixels, in_pixels), {nullptr, out_pixels},
             to.rows(image * out_pixels, out_pixels));
}

}  // namespace

GroupedConv2d::GroupedConv2d(const char* op, const Array& weight, const std::optional<Array>& bias,
                             const Conv2dOptions& options, DType dtype)
    : window_{weight.dim(2), options.stride, options.padding},
      groups_(options.groups),
      activation_(options.activation) {
  check_weight(op, weight, groups_);
  in_channels_ = weight.dim(1) * groups_;
  out_channels_ = weight.dim(0);
  const float* biases = checked_bias(op, bias, weight);
  const auto& kernels = video_kernels(weight.device());
  const Context context{weight.device(), nullptr, num_threads(), nullptr};
  const float* weights = weight.data<float>();
  if (depthwise()) {
    packed_.push_back(kernels.pack_depthwise(context, weights, biases, window_.kernel, out_channels_, dtype));
    return;
  }
  const std::int64_t outputs = out_channels_ / groups_;
  for (std::int64_t g = 0; g < groups_; ++g)
    packed_.push_back(kernels.pack_conv2d(context, weights + g * (weight.count() / groups_),
                                          biases ? biases + g * outputs : nullptr, window_.kernel, weight.dim(1),
                                          outputs, dtype));
}

std::int64_t GroupedConv2d::macs() const {
  return window_.kernel * window_.kernel * (in_channels_ / groups_) * out_channels_;
}

void GroupedConv2d::run(const Context& context, Extent2d extent, const ConstRowView& in, const Pixels& pixels,
                        const RowView& out) const {
  const auto& kernels = video_kernels(context.device);
  if (depthwise()) {
    const Conv2dLayer layer{window_, 1, out_channels_, packed_[0], activation_};
    return kernels.depthwise(context, layer, extent, in, pixels, out);
  }
  const std::int64_t inputs = in_channels_ / groups_, outputs = out_channels_ / groups_;
  for (std::int64_t g = 0; g < groups_; ++g) {
    const Conv2dLayer layer{window_, inputs, outputs, packed_[static_cast<std::size_t>(g)], activation_};
    ImageView image;
    image.rows = in.columns(g * inputs, inputs);
    kernels.conv2d(context, layer, extent, image, {}, pixels, out.columns(g * outputs, outputs));
  }
}

Array conv2d(const Array& x, const Array& weight, const std::optional<Array>& bias, const Conv2dOptions& options) {
  const GroupedConv2d conv = pack(x, weight, bias, options);
  const Extent2d extent = checked_out("conv2d", conv.window(), extent_of(x));
  Shape shape{extent.height, extent.width, conv.out_channels()};
  if (x.rank() == 4) shape.insert(shape.begin(), x.dim(0));
  // Where padding alone makes the output larger than the image it is a number that decides.
  if (extent.pixels() > extent_of(x).pixels())
    check_size("conv2d", "pixels:", images_of(x) * extent.pixels(), conv.out_channels());
  Array out(shape, x.dtype(), x.device());
  run(out, x, conv);
  return out;
}

void conv2d_into(Array& out, const Array& x, const Array& weight, const std::optional<Array>& bias,
                 const Conv2dOptions& options) {
  const GroupedConv2d conv = pack(x, weight, bias, options);
  const Extent2d extent = checked_out("conv2d", conv.window(), extent_of(x));
  check_image("conv2d", x);
  check_out("conv2d", out, extent, conv.out_channels(), x.device());
  run(out, x, conv);
}

}  // namespace voxshift
