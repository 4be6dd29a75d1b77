// The contract of video on CUDA: every method stands in a file of its own.
#include <voxshift/kernels_cuda/video.h>
#include <voxshift/kernels_cuda/weights.h>

namespace voxshift::cuda {
namespace {

class CudaVideoKernels final : public VideoKernels {
 public:
  std::shared_ptr<const PackedWeights> pack_conv2d(const Context& context, const float* weight, const float* bias,
                                                   std::int64_t kernel, std::int64_t in_channels,
                                                   std::int64_t out_channels, DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, bias, kernel * kernel, in_channels, out_channels,
                                                 dtype, WeightOrder::kOutInVolume);
  }
  std::shared_ptr<const PackedWeights> pack_depthwise(const Context& context, const float* weight, const float* bias,
                                                      std::int64_t kernel, std::int64_t channels,
                                                      DType dtype) const override {
    return std::make_shared<const DeviceWeights>(context, weight, bias, kernel * kernel, 1, channels, dtype,
                                                 WeightOrder::kChannelVolume);
  }
  std::shared_ptr<const PackedWeights> pack_conv2d_i8(const Context& context, const QuantizedWeights& weights,
                                                      const float* bias, std::int64_t kernel, std::int64_t in_channels,
                                                      std::int64_t out_channels) const override {
    return std::make_shared<const DeviceWeights>(context, weights, bias, kernel * kernel, in_channels, out_channels,
                                                 WeightOrder::kOutInVolume);
  }
  std::shared_ptr<const PackedWeights> pack_depthwise_i8(const Context& context, const QuantizedWeights& weights,
                                                         const float* bias, std::int64_t kernel,
                                                         std::int64_t channels) const override {
    return std::make_shared<const DeviceWeights>(context, weights, bias, kernel * kernel, 1, channels,
                                                 WeightOrder::kChannelVolume);
  }
  void conv2d(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
              const ConstRowView& residual, Pixels pixels, const RowView& out) const override {
    cuda::conv2d(Queue(context, "conv2d"), layer, in_extent, in, residual, pixels.rows, pixels, nullptr, out);
  }
  void depthwise(const Context& context, const Conv2dLayer& layer, Extent2d in_extent, const ConstRowView& in,
                 Pixels pixels, const RowView& out) const override {
    cuda::depthwise(Queue(context, "depthwise"), layer, in_extent, in, pixels, out);
  }
  void fused_block(const Context& context, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                   const std::uint8_t* hidden, Pixels pixels, const RowView& out) const override {
    cuda::fused_block(Queue(context, "fused_block"), block, in, residual, hidden, pixels, out);
  }
  void max_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in,
                Pixels pixels, const RowView& out) const override {
    cuda::max_pool(Queue(context, "max_pool"), {window, in_extent}, in, pixels, out);
  }
  void avg_pool(const Context& context, const Window2d& window, Extent2d in_extent, const ConstRowView& in,
                Pixels pixels, const RowView& out) const override {
    cuda::avg_pool(Queue(context, "avg_pool"), {window, in_extent}, in, pixels, out);
  }
  void mean_rows(const Context& context, const ConstRowView& in, const RowView& out) const override {
    cuda::mean_rows(Queue(context, "mean_rows"), in, out);
  }
  void spread_pixels(const Context& context, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                     const RowView& out) const override {
    cuda::spread_pixels(Queue(context, "spread_pixels"), in, in_extent, k, out);
  }
  void resample(const Context& context, const Resampling& resampling, std::int64_t images, std::int32_t* indices,
                float* weights) const override {
    cuda::resample(Queue(context, "resample"), resampling, images, indices, weights);
  }
  void normalize(const Context& context, const std::uint8_t* frame, Extent2d extent, const float* scale,
                 const float* shift, Pixels pixels, void* out, DType dtype, std::int64_t pitch) const override {
    cuda::normalize(Queue(context, "normalize"), frame, extent, scale, shift, pixels, out, dtype, pitch);
  }
  std::int64_t changed_pixels(const Context& context, const std::uint8_t* frame, std::uint8_t* kept,
                              std::int64_t pixels, const float* threshold, std::uint8_t* mask) const override {
    return cuda::changed_pixels(Queue(context, "changed_pixels"), frame, kept, pixels, threshold, mask);
  }
  FrameDifference frame_difference(const Context& context, const std::uint8_t* a, const std::uint8_t* b,
                                   Extent2d extent) const override {
    return cuda::frame_difference(Queue(context, "frame_difference"), a, b, extent);
  }
  std::int64_t reached(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* in,
                       std::uint8_t* out) const override {
    return cuda::reached(Queue(context, "reached"), {window, in_extent}, in, out);
  }
  std::int64_t needed(const Context& context, const Window2d& window, Extent2d in_extent, const std::uint8_t* out,
                      std::uint8_t* in) const override {
    return cuda::needed(Queue(context, "needed"), {window, in_extent}, out, in);
  }
  std::int64_t unite(const Context& context, std::uint8_t* a, const std::uint8_t* b,
                     std::int64_t pixels) const override {
    return cuda::unite(Queue(context, "unite"), a, b, pixels);
  }
  std::int64_t commit(const Context& context, const ConstRowView& values, Pixels pixels, float threshold,
                      const RowView& kept, std::uint8_t* mask) const override {
    return cuda::commit(Queue(context, "commit"), values, pixels, threshold, kept, mask);
  }
  void conv2d_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t,
                             const ConstRowView& grad, const float* weight, const RowView& grad_in) const override {
    cuda::conv2d_input_gradient(Queue(context, "conv2d_backward"), {window, in_extent}, grad, weight, grad_in);
  }
  void depthwise_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t,
                                const ConstRowView& grad, const float* weight, const RowView& grad_in) const override {
    cuda::depthwise_input_gradient(Queue(context, "conv2d_backward"), {window, in_extent}, grad, weight, grad_in);
  }
  void conv2d_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t,
                              const ConstRowView& in, const ConstRowView& grad, float* grad_weight) const override {
    cuda::conv2d_weight_gradient(Queue(context, "conv2d_backward"), {window, in_extent}, in, grad, grad_weight);
  }
  void depthwise_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t,
                                 const ConstRowView& in, const ConstRowView& grad, float* grad_weight) const override {
    cuda::depthwise_weight_gradient(Queue(context, "conv2d_backward"), {window, in_extent}, in, grad, grad_weight);
  }
};

}  // namespace

const VideoKernels& video_kernels() {
  static const CudaVideoKernels kernels;
  return kernels;
}

}  // namespace voxshift::cuda
