// The pixels that a transposed convolution makes of each, put in their places.
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

namespace voxshift::cuda {
namespace {

template <class T>
void spread(const Queue& queue, Rows<const T> in, std::int64_t width, std::int64_t k, Rows<T> out) {
  for_each_cell(queue, out.count, out.channels, [=] __device__(std::int64_t p, std::int64_t c) {
    const std::int64_t row = p / (width * k), x = p % (width * k);
    out.set(p, c, in.at(row / k * width + x / k, (row % k * k + x % k) * out.channels + c));
  });
}

}  // namespace

void spread_pixels(const Queue& queue, const ConstRowView& in, Extent2d in_extent, std::int64_t k, const RowView& out) {
  with_type("spread_pixels", out.dtype, [&](auto type) {
    using T = decltype(type);
    spread<T>(queue, rows<T>(in), in_extent.width, k, rows<T>(out));
  });
}

}  // namespace voxshift::cuda
