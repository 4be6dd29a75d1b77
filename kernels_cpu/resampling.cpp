// The sources of the pixels of resized and padded images.
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/kernels_cpu/video.h>

namespace voxshift::cpu {

void resample(const Context& context, const Resampling& resampling, std::int64_t images, std::int32_t* indices,
              float* weights) {
  constexpr std::int64_t kGrain = 4096;
  const std::int64_t corners = resampling.corners();
  parallel_ranges(
      context, images * resampling.to.pixels(), kGrain, [&](std::int64_t first, std::int64_t last, std::int64_t) {
        for (std::int64_t p = first; p < last; ++p)
          resampling.sources(p, indices + p * corners, weights != nullptr ? weights + p * corners : nullptr);
      });
}

}  // namespace voxshift::cpu
