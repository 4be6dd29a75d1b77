// Gradients of 2-D convolutions on the CPU. A convolution of a stack of images is a sparse one whose map is regular:
// per tap, the list of its (input pixel, output pixel) pairs. So the kernels of 3-D serve it.
#include <voxshift/kernels_cpu/pair_lists.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/pixel_runs.h>
#include <voxshift/kernels_cpu/video.h>
#include <voxshift/kernels_cpu/weight_gradient.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <vector>

namespace voxshift::cpu {
namespace {

/// The pairs of every tap of a window on a stack of images, ascending in both columns.
class StackMap {
 public:
  StackMap(const Context& context, const Window2d& window, Extent2d in, std::int64_t images)
      : taps_(window.kernel * window.kernel), in_rows_(images * in.pixels()) {
    const Extent2d out = window.out(in);
    const std::int64_t most = images * out.pixels();
    auto* memory = context.arena->allocate<std::int32_t>(2 * taps_ * most);
    lists_.resize(static_cast<std::size_t>(taps_));
    parallel_for(context, taps_, [&](std::int64_t tap, int) {
      const std::int64_t i = tap / window.kernel - window.padding, j = tap % window.kernel - window.padding;
      std::int32_t *from = memory + 2 * tap * most, *to = from + most;
      std::int64_t count = 0;
      for (std::int64_t image = 0; image < images; ++image)
        for (std::int64_t y = 0; y < out.height; ++y) {
          const std::int64_t in_y = y * window.stride + i;
          if (in_y < 0 || in_y >= in.height) continue;
          const std::int64_t in_row = (image * in.height + in_y) * in.width,
                             out_row = (image * out.height + y) * out.width;
          for (std::int64_t x = 0; x < out.width; ++x) {
            const std::int64_t in_x = x * window.stride + j;
            if (in_x < 0 || in_x >= in.width) continue;
            from[count] = static_cast<std::int32_t>(in_row + in_x);
            to[count++] = static_cast<std::int32_t>(out_row + x);
          }
        }
      lists_[static_cast<std::size_t>(tap)] = {from, to, count};
    });
  }

  int taps() const { return static_cast<int>(taps_); }
  const PairList* lists() const { return lists_.data(); }

  /// The same pairs from output to input pixels, as the kernels of 3-D take a map.
  KernelMapView backward(const Context& context, std::int64_t out_rows) {
    const std::int64_t splits = (in_rows_ + kSplitRows - 1) / kSplitRows + 1;
    auto* split = context.arena->allocate<std::int32_t>(splits * taps_);
    for (PairList& list : lists_) std::swap(list.in, list.out);
    for (std::int64_t s = 0; s < splits; ++s)
      for (std::int64_t k = 0; k < taps_; ++k) {
        const PairList& list = lists_[static_cast<std::size_t>(k)];
        const auto row = static_cast<std::int32_t>(std::min(in_rows_, s * kSplitRows));
        split[s * taps_ + k] =
            static_cast<std::int32_t>(std::lower_bound(list.out, list.out + list.count, row) - list.out);
      }
    return {taps(), out_rows, in_rows_, MapLayout(PairLists{lists_.data(), split})};
  }

 private:
  std::int64_t taps_, in_rows_;
  std::vector<PairList> lists_;
};

}  // namespace

void conv2d_input_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                           const ConstRowView& grad, const float* weight, const RowView& grad_in) {
  const Arena::Mark mark = context.arena->mark();
  StackMap map(context, window, in_extent, images);
  const std::int64_t inputs = grad_in.channels, outputs = grad.channels, taps = map.taps();
  auto* by_tap = context.arena->allocate<float>(taps * inputs * outputs);  // [tap, out, in]
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t i = 0; i < inputs; ++i)
      for (std::int64_t t = 0; t < taps; ++t)
        by_tap[(t * outputs + o) * inputs + i] = weight[(o * inputs + i) * taps + t];
  const SparseConvKernels& kernels = sparse_conv_kernels();
  kernels.conv(context, grad, map.backward(context, grad.count),
               *kernels.pack(context, by_tap, taps, outputs, inputs, DType::kF32), {}, grad_in);
  context.arena->rewind(mark);
}

void conv2d_weight_gradient(const Context& context, const Window2d& window, Extent2d in_extent, std::int64_t images,
                            const ConstRowView& in, const ConstRowView& grad, float* grad_weight) {
  const Arena::Mark mark = context.arena->mark();
  const StackMap map(context, window, in_extent, images);
  const std::int64_t inputs = in.channels, outputs = grad.channels, taps = map.taps();
  auto* by_tap = context.arena->allocate<float>(taps * inputs * outputs);  // [tap, in, out]
  weight_gradient(context, in, grad, map.lists(), map.taps(), by_tap);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t i = 0; i < inputs; ++i)
      for (std::int64_t t = 0; t < taps; ++t)
        grad_weight[(o * inputs + i) * taps + t] = by_tap[(t * inputs + i) * outputs + o];
  context.arena->rewind(mark);
}

}  // namespace voxshift::cpu
