// The pixels that a transposed convolution makes of each, put in their places.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>

#include <algorithm>

namespace voxshift::cpu {

void spread_pixels(const Context& context, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                   const RowView& out) {
  const std::int64_t width = in_extent.width;
  parallel_for(context, in_extent.height * k, [&](std::int64_t row, int) {
    for (std::int64_t x = 0; x < width * k; ++x) {
      const float* from = static_cast<const float*>(in.base) + (row / k * width + x / k) * in.row_stride;
      std::copy_n(from + (row % k * k + x % k) * out.channels, out.channels,
                  static_cast<float*>(out.base) + (row * width * k + x) * out.row_stride);
    }
  });
}

}  // namespace voxshift::cpu
