// The sources of the pixels of resized and padded images.
#include <voxshift/kernels_cuda/video.h>

namespace voxshift::cuda {

void resample(const Queue& queue, const Resampling& resampling, std::int64_t images, std::int32_t* indices,
              float* weights) {
  const std::int64_t corners = resampling.corners();
  for_each(queue, images * resampling.to.pixels(), [=] __device__(std::int64_t p) {
    resampling.sources(p, indices + p * corners, weights != nullptr ? weights + p * corners : nullptr);
  });
}

}  // namespace voxshift::cuda
