#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/features.h>
#include <voxshift/tensor/result_size.h>
#include <voxshift/video/checks.h>
#include <voxshift/video/grouped_conv2d.h>
#include <voxshift/video/kernels.h>
#include <voxshift/video/masked_layer.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

namespace voxshift {
namespace {

// Computes the outputs at some pixels of an image.
using Layer = std::function<void(const Context&, Extent2d, const ConstRowView& in, const Pixels&, const RowView& out)>;

Array zero_image(Extent2d extent, std::int64_t channels, Device device) {
  check_size("MaskedLayer", "pixels:", extent.pixels(), channels);
  const Shape shape{extent.height, extent.width, channels};
  return Array::from(std::vector<float>(static_cast<std::size_t>(count_of(shape))), shape).to(device);
}

void check_threshold(float threshold) {
  check(threshold >= 0, "[MaskedLayer] threshold expects 0 or more, found ", threshold);
}

}  // namespace

struct MaskedLayer::Impl {
  Window2d window;
  Extent2d in_extent, out_extent;
  std::int64_t macs_per_pixel;
  float threshold;
  Layer layer;
  Array input, output;      // the values propagated last
  Array in_mask, out_mask;  // u8 [pixels]
  Array rows;               // i32 [output pixels], a list of pixels
  Array values;             // f32 [output pixels, Cout] of the listed pixels
  Arena scratch;
  bool fresh = true;          // nothing was pushed yet
  std::int64_t computed = 0;  // output pixels of the last push

  Impl(const Window2d& of_layer, Extent2d in, Extent2d out, std::int64_t in_channels, std::int64_t out_channels,
       std::int64_t macs, float most, Device device, Layer compute)
      : window(of_layer),
        in_extent(in),
        out_extent(out),
        macs_per_pixel(macs),
        threshold(most),
        layer(std::move(compute)),
        input(zero_image(in, in_channels, device)),
        output(zero_image(out, out_channels, device)),
        in_mask({in.pixels()}, DType::kU8, device),
        out_mask({out.pixels()}, DType::kU8, device),
        rows({out.pixels()}, DType::kI32, device),
        values({out.pixels(), out_channels}, DType::kF32, device),
        scratch(device) {}

  static std::unique_ptr<Impl> pooling(Extent2d extent, std::int64_t channels, const Window2d& window, float threshold,
                                       Device device, decltype(&VideoKernels::max_pool) pool) {
    check_threshold(threshold);
    check(channels >= 1, "[MaskedLayer] channels expects at least 1, found ", channels);
    check(window.kernel <= kMostKernel2d, "[MaskedLayer] kernel expects 1 to ", kMostKernel2d, ", found ",
          window.kernel);
    const Extent2d out = checked_pool_out("MaskedLayer", window, extent);
    return std::make_unique<Impl>(window, extent, out, channels, channels, 0, threshold, device,
                                  [window, pool](const Context& context, Extent2d in_extent, const ConstRowView& in,
                                                 const Pixels& pixels, const RowView& values) {
                                    (video_kernels(context.device).*pool)(context, window, in_extent, in, pixels,
                                                                          values);
                                  });
  }

  Device device() const { return input.device(); }
  const VideoKernels& kernels() const { return video_kernels(device()); }

  // Rows i32 [N] of the pixels in the input image.
  Array rows_of_pixels(const SparseTensor& changed) const {
    check(changed.device() == device(), "[MaskedLayer] expects pixels on ", name(device()), ", found them on ",
          name(changed.device()));
    check_f32("MaskedLayer", "a push", changed.dtype());
    check(changed.dims() == 2 && changed.channels() == input.dim(2), "[MaskedLayer] expects pixels (0, y, x) of ",
          input.dim(2), " channels, found ", changed.dims(), " axes and ", changed.channels(), " channels");
    const Array coords = changed.coords().to(Device::cpu());
    const auto values_of = coords.values<std::int32_t>();
    std::vector<std::int32_t> pixels(static_cast<std::size_t>(changed.size()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::int32_t batch = values_of[3 * i], y = values_of[3 * i + 1], x = values_of[3 * i + 2];
      check(batch == 0 && y >= 0 && y < in_extent.height && x >= 0 && x < in_extent.width, "[MaskedLayer] pixel (",
            batch, ", ", y, ", ", x, ") is not in the image (0, ", in_extent.height, ", ", in_extent.width, ")");
      pixels[i] = static_cast<std::int32_t>(y * in_extent.width + x);
    }
    return Array::from(pixels, {changed.size()}).to(device());
  }

  // Writes `pixels` of the input, computes the outputs that they reach and lists in `rows` those that changed.
  std::int64_t propagate(const Context& context, const ConstRowView& features, const Pixels& pixels) {
    auto* in = in_mask.data<std::uint8_t>();
    auto* out = out_mask.data<std::uint8_t>();
    auto* list = rows.data<std::int32_t>();
    const ConstRowView image = pixels_of(input);
    kernels().commit(context, features, pixels, 0, pixels_of(input), in);
    if (std::exchange(fresh, false)) {
      computed = out_extent.pixels();
      layer(context, in_extent, image, {nullptr, computed}, pixels_of(output));
      std::vector<std::int32_t> all(static_cast<std::size_t>(computed));
      std::iota(all.begin(), all.end(), 0);
      rows = Array::from(all, {computed}).to(device());
      return computed;
    }
    kernels().reached(context, window, in_extent, in, out);
    computed = row_kernels(device()).list(context, out, out_extent.pixels(), list);
    const Pixels listed{list, computed};
    const RowView computed_values = rows_of(values).rows(0, computed);
    layer(context, in_extent, image, listed, computed_values);
    kernels().commit(context, computed_values, listed, threshold, pixels_of(output), out);
    return row_kernels(device()).list(context, out, out_extent.pixels(), list);
  }

  // The first n pixels of `rows` with their outputs.
  SparseTensor listed_outputs(const Context& context, std::int64_t n) const {
    const Array listed = rows.to(Device::cpu());
    Array coords({n, 3}, DType::kI32);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t p = listed.data<std::int32_t>()[i];
      auto* coord = coords.data<std::int32_t>() + 3 * i;
      coord[0] = 0;
      coord[1] = static_cast<std::int32_t>(p / out_extent.width);
      coord[2] = static_cast<std::int32_t>(p % out_extent.width);
    }
    Array features({n, output.dim(2)}, DType::kF32, device());
    row_kernels(device()).gather(context, pixels_of(output), rows.data<std::int32_t>(), rows_of(features));
    SparseTensor::Options options;
    options.shape = {static_cast<std::int32_t>(out_extent.height), static_cast<std::int32_t>(out_extent.width), 1, 1};
    return {coords.to(device()), features, options};
  }
};

MaskedLayer::MaskedLayer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MaskedLayer::MaskedLayer(MaskedLayer&&) noexcept = default;
MaskedLayer& MaskedLayer::operator=(MaskedLayer&&) noexcept = default;
MaskedLayer::~MaskedLayer() = default;

MaskedLayer MaskedLayer::conv2d(Extent2d extent, const Array& weight, const std::optional<Array>& bias,
                                const Conv2dOptions& options, float threshold) {
  check_threshold(threshold);
  auto conv = std::make_shared<const GroupedConv2d>("MaskedLayer", weight, bias, options);
  const Extent2d out = checked_out("MaskedLayer", conv->window(), extent);
  return MaskedLayer(std::make_unique<Impl>(
      conv->window(), extent, out, conv->in_channels(), conv->out_channels(), conv->macs(), threshold, weight.device(),
      [conv](const Context& context, Extent2d in_extent, const ConstRowView& in, const Pixels& pixels,
             const RowView& values) { conv->run(context, in_extent, in, pixels, values); }));
}

MaskedLayer MaskedLayer::max_pool2d(Extent2d extent, std::int64_t channels, const Window2d& window, float threshold,
                                    Device device) {
  return MaskedLayer(Impl::pooling(extent, channels, window, threshold, device, &VideoKernels::max_pool));
}

MaskedLayer MaskedLayer::avg_pool2d(Extent2d extent, std::int64_t channels, const Window2d& window, float threshold,
                                    Device device) {
  return MaskedLayer(Impl::pooling(extent, channels, window, threshold, device, &VideoKernels::avg_pool));
}

SparseTensor MaskedLayer::push(const SparseTensor& changed) {
  const Array pixels = impl_->rows_of_pixels(changed);
  const Context context{impl_->device(), nullptr, num_threads(), &impl_->scratch};
  const std::int64_t n =
      impl_->propagate(context, rows_of(changed.features()), {pixels.data<std::int32_t>(), changed.size()});
  return impl_->listed_outputs(context, n);
}

const Array& MaskedLayer::output() const { return impl_->output; }

std::int64_t MaskedLayer::macs() const { return impl_->computed * impl_->macs_per_pixel; }

std::int64_t MaskedLayer::dense_macs() const { return impl_->out_extent.pixels() * impl_->macs_per_pixel; }

void MaskedLayer::reset() {
  impl_->input = zero_image(impl_->in_extent, impl_->input.dim(2), impl_->device());
  impl_->output = zero_image(impl_->out_extent, impl_->output.dim(2), impl_->device());
  impl_->fresh = true;
  impl_->computed = 0;
}

}  // namespace voxshift
