// 2-D convolution by the dtypes of what goes in and comes out, and the fused block, which is three convolutions here.
#include <voxshift/kernels_cuda/conv2d.h>
#include <voxshift/kernels_cuda/dense_product.h>
#include <voxshift/kernels_cuda/elementwise.h>
#include <voxshift/kernels_cuda/tensor_tile.h>

namespace voxshift::cuda {
namespace {

template <class T, class Residual, class Out>
void run_in(const Queue& queue, const Conv2dOperands<T, Residual, Out>& x, bool whole) {
  if constexpr (std::is_same_v<T, float>) {
    run_conv2d(queue, x);
  } else {
    run_conv2d(queue, x, whole);
  }
}

// Of images of T: plain where the residual and what comes out are of T, too.
template <class T>
void run_of(const Queue& queue, const Conv2dLayer& layer, const DeviceWeights& weights, const Conv2dCall& call,
            const ConstRowView& residual, const RowView& out) {
  const bool whole = in_whole_chunks(out, residual, 8);
  if constexpr (!std::is_same_v<T, std::int8_t>) {
    if (all_of(weights.data.dtype(), residual, out))
      return run_in(queue, conv2d_operands<T>(layer, weights, call, rows<T>(residual), rows<T>(out)), whole);
  }
  check_numbers("conv2d", residual);
  check_numbers("conv2d", out);
  run_in(queue, conv2d_operands<T>(layer, weights, call, any_rows(residual), any_rows(out)), whole);
}

// A pointwise convolution of all pixels by the library of dense products; false: not done.
bool as_dense_product(const Queue& queue, const Conv2dLayer& layer, const DeviceWeights& weights,
                      const Conv2dCall& call, const ConstRowView& residual, const RowView& out) {
  const bool all = call.pixels.rows == nullptr && call.mask == nullptr && call.pixels.count == call.in_extent.pixels();
  if (!layer.window.pointwise() || !all || residual.base != nullptr || call.in.border > 0 || call.in.rows.count != 1 ||
      call.pixels.listed)
    return false;
  const ChannelRun& run = call.in.rows.runs[0];
  return dense_product(queue, {run.base, run.row_stride, call.pixels.count, run.channels, call.in.rows.dtype}, weights,
                       {weights.bias_or_null(), {}, layer.activation}, out);
}

}  // namespace

void conv2d(const Queue& queue, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
            const ConstRowView& residual, const std::int32_t* residual_rows, Pixels pixels, const std::uint8_t* mask,
            const RowView& out) {
  const DeviceWeights& weights =
      device_weights("conv2d", *layer.weights, layer.window.kernel * layer.window.kernel, layer.in_channels,
                     layer.out_channels, in.rows.dtype, queue.context().device, WeightUse::kImages);
  const Conv2dCall call{in_extent, in, residual_rows, pixels, mask};
  const RowView wanted = out.rows(0, pixels.count);
  const UnroundedRows to(queue, layer.activation, in.rows.dtype, wanted);
  if (as_dense_product(queue, layer, weights, call, residual, to.rows)) {
    // done by the library
  } else if (in.rows.dtype == DType::kI8) {
    run_of<std::int8_t>(queue, layer, weights, call, residual, to.rows);
  } else {
    with_real_type("conv2d", in.rows.dtype,
                   [&](auto type) { run_of<decltype(type)>(queue, layer, weights, call, residual, to.rows); });
  }
  apply_function(queue, layer.activation, to.rows, wanted);
}

void fused_block(const Queue& queue, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out) {
  const std::int64_t channels = block.first.out_channels;
  const bool listed = pixels.listed || pixels.rows != nullptr;
  Arena& arena = queue.arena();
  const Arena::Mark mark = arena.mark();
  const auto image = [&](std::int64_t count, const Conv2dLayer& reader, const Scales& scales) {
    const DType dtype = dtype_of_weights("fused_block", *reader.weights);
    const auto bytes = static_cast<std::size_t>(count * channels) * size_of(dtype);
    return RowView{arena.allocate_bytes(bytes), channels, count, channels, dtype, scales};
  };
  const RowView expanded = image(block.hidden().pixels(), block.depthwise, block.hidden_scales);
  const RowView filtered = image(pixels.count, block.project, block.filtered_scales);
  conv2d(queue, block.first, block.in, in, {}, nullptr, {nullptr, expanded.count, listed}, hidden, expanded);
  depthwise(queue, block.depthwise, block.hidden(), expanded, pixels, filtered);
  ImageView last;
  last.rows = ConstRowView(filtered);
  conv2d(queue, block.project, {pixels.count, 1}, last, residual, pixels.rows, {nullptr, pixels.count, listed}, nullptr,
         out);
  arena.rewind(mark);
}

}  // namespace voxshift::cuda
