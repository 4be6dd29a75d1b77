// The contract of video on the CPU: every method stands in a file of its own.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/packed_conv2d.h>
#include <voxshift/kernels_cpu/targets.h>
#include <voxshift/kernels_cpu/video.h>

namespace voxshift::cpu {
namespace {

/// Throws BackendUnavailable where `dtype` is neither f16 nor bf16.
void check_half(const char* op, DType dtype) {
  check<BackendUnavailable>(dtype == DType::kF16 || dtype == DType::kBF16, "[", op, "] the CPU has no kernel for ",
                            name(dtype));
}

class CpuVideoKernels final : public VideoKernels {
 public:
  std::shared_ptr<const PackedWeights> pack_conv2d(const Context& context, const float* weight, const float* bias,
                                                   std::int64_t kernel, std::int64_t in_channels,
                                                   std::int64_t out_channels, DType dtype) const override {
    if (dtype != DType::kF32) check_half("conv2d", dtype);
    if (computed_in_f32(dtype))
      return std::make_shared<const PackedConv2d>(weight, bias, kernel, in_channels, out_channels, dtype);
    return std::make_shared<const PackedNarrowConv2d>(context, dtype, weight, bias, kernel, in_channels, out_channels);
  }
  std::shared_ptr<const PackedWeights> pack_depthwise(const Context&, const float* weight, const float* bias,
                                                      std::int64_t kernel, std::int64_t channels,
                                                      DType dtype) const override {
    if (dtype != DType::kF32) check_half("depthwise", dtype);
    return std::make_shared<const PackedDepthwise>(weight, bias, kernel, channels, dtype);
  }
  std::shared_ptr<const PackedWeights> pack_conv2d_i8(const Context& context, const QuantizedWeights& weights,
                                                      const float* bias, std::int64_t kernel, std::int64_t in_channels,
                                                      std::int64_t out_channels) const override {
    return std::make_shared<const PackedNarrowConv2d>(context, weights, bias, kernel, in_channels, out_channels);
  }
  std::shared_ptr<const PackedWeights> pack_depthwise_i8(const Context&, const QuantizedWeights& weights,
                                                         const float* bias, std::int64_t kernel,
                                                         std::int64_t channels) const override {
    return std::make_shared<const PackedDepthwise>(weights, bias, kernel, channels);
  }
  void conv2d(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
              const ConstRowView& residual, Pixels pixels, const RowView& out) const override {
    check_numbers("conv2d", in.rows.dtype);
    const auto run = in.rows.dtype == DType::kF32 ? cpu::conv2d : cpu::conv2d_narrow;
    run(context, layer, in_extent, in, residual, pixels, out);
  }
  void depthwise(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in,
                 Pixels pixels, const RowView& out) const override {
    check_numbers("depthwise", in.dtype);
    cpu::depthwise(context, layer, in_extent, in, pixels, out);
  }
  void conv2d_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                             const ConstRowView& grad, const float* weight, const RowView& grad_in) const override {
    cpu::conv2d_input_gradient(context, window, in_extent, images, grad, weight, grad_in);
  }
  void depthwise_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                                const ConstRowView& grad, const float* weight, const RowView& grad_in) const override {
    cpu::depthwise_input_gradient(context, window, in_extent, images, grad, weight, grad_in);
  }
  void conv2d_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                              const ConstRowView& in, const ConstRowView& grad, float* grad_weight) const override {
    cpu::conv2d_weight_gradient(context, window, in_extent, images, in, grad, grad_weight);
  }
  void depthwise_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent,
                                 std::int64_t images, const ConstRowView& in, const ConstRowView& grad,
                                 float* grad_weight) const override {
    cpu::depthwise_weight_gradient(context, window, in_extent, images, in, grad, grad_weight);
  }
  void fused_block(const Context& context, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                   const std::uint8_t* hidden, Pixels pixels, const RowView& out) const override {
    check_numbers("fused_block", in.rows.dtype);
    cpu::fused_block(context, block, in, residual, hidden, pixels, out);
  }
  void max_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in,
                Pixels pixels, const RowView& out) const override {
    check_numbers("max_pool", in, out);
    cpu::max_pool(context, window, in_extent, in, pixels, out);
  }
  void avg_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in,
                Pixels pixels, const RowView& out) const override {
    check_numbers("avg_pool", in, out);
    cpu::avg_pool(context, window, in_extent, in, pixels, out);
  }
  void mean_rows(const Context& context, const ConstRowView& in, const RowView& out) const override {
    check_numbers("mean_rows", in, out);
    cpu::mean_rows(context, in, out);
  }
  void spread_pixels(const Context& context, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                     const RowView& out) const override {
    check_numbers("spread_pixels", in, out);
    cpu::spread_pixels(context, in, in_extent, k, out);
  }
  void resample(const Context& context, const Resampling& resampling, std::int64_t images, std::int32_t* indices,
                float* weights) const override {
    cpu::resample(context, resampling, images, indices, weights);
  }
  void normalize(const Context& context, const std::uint8_t* frame, Extent2d extent, const float* scale,
                 const float* shift, Pixels pixels, void* out, DType dtype, std::int64_t pitch) const override {
    check<BackendUnavailable>(is_number(dtype) && dtype != DType::kI8, "[normalize] the CPU has no kernel for ",
                              name(dtype));
    cpu::normalize(context, frame, extent, scale, shift, pixels, out, dtype, pitch);
  }
  std::int64_t changed_pixels(const Context& context, const std::uint8_t* frame, std::uint8_t* kept,
                              std::int64_t pixels, const float* threshold, std::uint8_t* mask) const override {
    return cpu::changed_pixels(context, frame, kept, pixels, threshold, mask);
  }
  FrameDifference frame_difference(const Context& context, const std::uint8_t* a, const std::uint8_t* b,
                                   Extent2d extent) const override {
    return cpu::frame_difference(context, a, b, extent);
  }
  std::int64_t reached(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* in,
                       std::uint8_t* out) const override {
    return cpu::reached(context, window, in_extent, in, out);
  }
  std::int64_t needed(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* out,
                      std::uint8_t* in) const override {
    return cpu::needed(context, window, in_extent, out, in);
  }
  std::int64_t unite(const Context& context, std::uint8_t* a, const std::uint8_t* b,
                     std::int64_t pixels) const override {
    return cpu::unite(context, a, b, pixels);
  }
  std::int64_t commit(const Context& context, const ConstRowView& values, Pixels pixels, float threshold,
                      const RowView& kept, std::uint8_t* mask) const override {
    check_numbers("commit", values);
    return cpu::commit(context, values, pixels, threshold, kept, mask);
  }
};

}  // namespace

const VideoKernels& video_kernels() {
  choose_target();
  static const CpuVideoKernels kernels;
  return kernels;
}

}  // namespace voxshift::cpu
