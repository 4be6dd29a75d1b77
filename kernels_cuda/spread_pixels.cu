// The pixels that a transposed convolution makes of each, put in their places.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

namespace voxshift::cuda {
namespace {

template <class In, class Out>
void spread(const Queue& queue, In in, std::int64_t width, std::int64_t k, Out out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t p, std::int64_t c) {
    const std::int64_t row = p / (width * k), x = p % (width * k);
    copy_number(in, row / k * width + x / k, (row % k * k + x % k) * out.channels + c, out, p, c);
  });
}

}  // namespace

void spread_pixels(const Queue& queue, const ConstRowView& in, Extent2d in_extent, std::int64_t k, const RowView& out) {
  with_copies(
      "spread_pixels", [&](auto from, auto to) { spread(queue, from, in_extent.width, k, to); }, in, out);
}

}  // namespace voxshift::cuda
