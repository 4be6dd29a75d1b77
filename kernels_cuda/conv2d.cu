#include <voxshift/kernels_cuda/conv2d.h>
#include <voxshift/kernels_cuda/elementwise.h>

namespace voxshift::cuda {

void conv2d(const Queue& queue, const Conv2dLayer& layer, Extent2d in_extent, const ImageView& in,
            const ConstRowView& residual, const std::int32_t* residual_rows, Pixels pixels, const std::uint8_t* mask,
            const RowView& out) {
  if (out.dtype == DType::kF16) {
    conv2d_f16(queue, conv2d_operands<half_t>(queue, layer, in_extent, in, residual, residual_rows, pixels, mask, out));
  } else {
    conv2d_f32(queue, conv2d_operands<float>(queue, layer, in_extent, in, residual, residual_rows, pixels, mask, out));
  }
  apply_function(queue, layer.activation, out.rows(0, pixels.count));
}

void fused_block(const Queue& queue, const FusedBlock& block, const ImageView& in, const ConstRowView& residual,
                 const std::uint8_t* hidden, Pixels pixels, const RowView& out) {
  const std::int64_t channels = block.first.out_channels;
  Arena& arena = queue.arena();
  const Arena::Mark mark = arena.mark();
  const auto image = [&](std::int64_t count) {
    const auto bytes = static_cast<std::size_t>(count * channels) * size_of(out.dtype);
    return RowView{arena.allocate_bytes(bytes), channels, count, channels, out.dtype};
  };
  const RowView expanded = image(block.hidden().pixels()), filtered = image(pixels.count);
  conv2d(queue, block.first, block.in, in, {}, nullptr, {nullptr, expanded.count}, hidden, expanded);
  depthwise(queue, block.depthwise, block.hidden(), expanded, pixels, filtered);
  ImageView last;
  last.rows = ConstRowView(filtered);
  conv2d(queue, block.project, {pixels.count, 1}, last, residual, pixels.rows, {nullptr, pixels.count}, nullptr, out);
  arena.rewind(mark);
}

}  // namespace voxshift::cuda
