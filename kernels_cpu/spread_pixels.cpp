// The pixels that a transposed convolution makes of each, put in their places.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>

namespace voxshift::cpu {

void spread_pixels(const Context& context, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                   const RowView& out) {
  const std::int64_t width = in_extent.width, channels = out.channels;
  parallel_for(context, in_extent.height * k, [&](std::int64_t row, int) {
    for (std::int64_t j = 0; j < k; ++j) {
      const RowCopy tap(in.columns((row % k * k + j) * channels, channels), out);
      for (std::int64_t x = 0; x < width; ++x) tap(row / k * width + x, (row * width + x) * k + j);
    }
  });
}

}  // namespace voxshift::cpu
