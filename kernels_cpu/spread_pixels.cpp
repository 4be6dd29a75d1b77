// The pixels that a transposed convolution makes of each, put in their places.
#include <voxshift/kernels_cpu/number_rows.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>

#include <vector>

namespace voxshift::cpu {

void spread_pixels(const Context& context, const ConstRowView& in, Extent2d in_extent, std::int64_t k,
                   const RowView& out) {
  const std::int64_t width = in_extent.width;
  std::vector<RowCopy> taps;  // i k + j
  for (std::int64_t t = 0; t < k * k; ++t) taps.emplace_back(in.columns(t * out.channels, out.channels), out);
  parallel_for(context, in_extent.height * k, [&](std::int64_t row, int) {
    for (std::int64_t x = 0; x < width * k; ++x)
      taps[static_cast<std::size_t>(row % k * k + x % k)](row / k * width + x / k, row * width * k + x);
  });
}

}  // namespace voxshift::cpu
