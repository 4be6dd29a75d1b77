// Frames on CUDA: normalised, and compared with each other.
#include <voxshift/kernels_cuda/active_count.h>
#include <voxshift/kernels_cuda/rows.h>
#include <voxshift/kernels_cuda/video.h>

#include <algorithm>

namespace voxshift::cuda {
namespace {

constexpr int kChannels = 3;
constexpr int kBlock = 16;  // rows and columns of a block

struct PerChannel {
  float of[kChannels];

  explicit PerChannel(const float* host) : of{host[0], host[1], host[2]} {}
};

// Blocks at the right and at the lower edge have fewer pixels than others: the sums of each size have a maximum of
// their own.
struct Difference {
  unsigned long long total;
  int largest[2][2];  // [lower edge][right edge], |sum over a block of one channel's differences|
};

__global__ void __launch_bounds__(kBlock* kBlock)
    difference_kernel(const std::uint8_t* a, const std::uint8_t* b, int height, int width, Difference* found) {
  __shared__ int sums[kChannels], distance;
  const int column = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const bool first = column == 0 && row == 0;
  if (first) sums[0] = sums[1] = sums[2] = distance = 0;
  __syncthreads();
  const int y = static_cast<int>(blockIdx.y) * kBlock + row, x = static_cast<int>(blockIdx.x) * kBlock + column;
  if (y < height && x < width) {
    const std::int64_t pixel = (std::int64_t{y} * width + x) * kChannels;
    int far = 0;
    for (int c = 0; c < kChannels; ++c) {
      const int step = int{a[pixel + c]} - int{b[pixel + c]};
      if (step != 0) atomicAdd(&sums[c], step);
      far += step < 0 ? -step : step;
    }
    if (far != 0) atomicAdd(&distance, far);
  }
  __syncthreads();
  if (!first || distance == 0) return;
  int largest = 0;
  for (int c = 0; c < kChannels; ++c) {
    const int sum = sums[c] < 0 ? -sums[c] : sums[c];
    largest = largest < sum ? sum : largest;
  }
  atomicAdd(&found->total, static_cast<unsigned long long>(distance));
  atomicMax(&found->largest[y + kBlock > height][x + kBlock > width], largest);
}

template <class T>
void normalize_pixels(const Queue& queue, const std::uint8_t* frame, std::int64_t width, const PerChannel& scale,
                      const PerChannel& shift, Pixels pixels, T* out, std::int64_t pitch) {
  for_each(queue, pixels.count, [=] __device__(std::int64_t i) {
    const std::int64_t p = pixels.rows != nullptr ? pixels.rows[i] : i;
    T* const to = out + p / width * pitch + p % width * kChannels;
    for (int c = 0; c < kChannels; ++c)
      to[c] = from_float<T>(fmaf(static_cast<float>(frame[p * kChannels + c]), scale.of[c], shift.of[c]));
  });
}

std::int64_t take_changed(const Queue& queue, const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                          const PerChannel& threshold, std::uint8_t* mask) {
  return count_active(queue, pixels, [=] __device__(std::int64_t p) {
    bool changed = false;
    for (int c = 0; c < kChannels; ++c) {
      const int step = int{frame[p * kChannels + c]} - int{kept[p * kChannels + c]};
      changed = changed || static_cast<float>(step < 0 ? -step : step) > threshold.of[c];
    }
    mask[p] = changed ? 1 : 0;
    for (int c = 0; changed && c < kChannels; ++c) kept[p * kChannels + c] = frame[p * kChannels + c];
    return changed;
  });
}

}  // namespace

void normalize(const Queue& queue, const std::uint8_t* frame, Extent2d extent, const float* scale, const float* shift,
               Pixels pixels, void* out, DType dtype, std::int64_t pitch) {
  with_type("normalize", dtype, [&](auto type) {
    normalize_pixels(queue, frame, extent.width, PerChannel(scale), PerChannel(shift), pixels,
                     static_cast<decltype(type)*>(out), pitch);
  });
}

std::int64_t changed_pixels(const Queue& queue, const std::uint8_t* frame, std::uint8_t* kept, std::int64_t pixels,
                            const float* threshold, std::uint8_t* mask) {
  return take_changed(queue, frame, kept, pixels, PerChannel(threshold), mask);
}

FrameDifference frame_difference(const Queue& queue, const std::uint8_t* a, const std::uint8_t* b, Extent2d extent) {
  const Arena::Mark mark = queue.arena().mark();
  auto* const memory = queue.arena().allocate<Difference>(1);
  queue.fill(memory, 0, sizeof(*memory));
  launch(queue, difference_kernel,
         dim3(static_cast<unsigned>(ceil_div<std::int64_t>(extent.width, kBlock)),
              static_cast<unsigned>(ceil_div<std::int64_t>(extent.height, kBlock))),
         dim3(kBlock, kBlock), 0, a, b, static_cast<int>(extent.height), static_cast<int>(extent.width), memory);
  const Difference found = queue.read(memory);
  queue.arena().rewind(mark);
  double block = 0;
  for (const bool lower : {false, true})
    for (const bool right : {false, true}) {
      const std::int64_t pixels = (lower ? extent.height % kBlock : kBlock) * (right ? extent.width % kBlock : kBlock);
      if (pixels > 0)
        block = std::max(block, static_cast<double>(found.largest[lower][right]) / static_cast<double>(pixels));
    }
  const std::int64_t count = std::max<std::int64_t>(1, extent.pixels() * kChannels);
  return {static_cast<float>(static_cast<double>(found.total) / static_cast<double>(count)), static_cast<float>(block)};
}

}  // namespace voxshift::cuda
