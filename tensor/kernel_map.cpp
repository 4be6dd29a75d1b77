#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/runtime.h>

namespace voxshift {

int Window::volume() const {
  int volume = 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) volume *= size[d];
  return volume;
}

bool Window::unit_stride() const { return stride == Extents{1, 1, 1, 1}; }

bool Window::same_outputs(const Window& other) const {
  if (semantics != other.semantics || stride != other.stride) return false;
  return semantics == Semantics::kFloor || *this == other;
}

void Window::check_valid(const char* op) const {
  constexpr int kMostTaps = 1 << 20;  // per axis
  constexpr std::int64_t kMostVolume = 4096;
  check(dims >= 1 && dims <= kMaxDimensions, "[", op, "] expected 1 to ", kMaxDimensions, " dimensions, found ", dims);
  std::int64_t total = 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) {
    for (const auto& [what, value, least] : {std::tuple("kernel size", size[d], 1),
                                             {"stride", stride[d], 1},
                                             {"dilation", dilation[d], 1},
                                             {"padding", pad[d], 0},
                                             {"output padding", output_pad[d], 1 - kMostTaps}})
      check(value >= least && value < kMostTaps, "[", op, "] ", what, " of axis ", d, " must be ", least, " to ",
            kMostTaps - 1, ", found ", value);
    check(std::int64_t{size[d] - 1} * dilation[d] + pad[d] <= INT32_MAX, "[", op, "] kernel size ", size[d],
          " of axis ", d, " with dilation ", dilation[d], " spans more than 2^31 - 1 cells");
    total *= size[d];
    check(total <= kMostVolume, "[", op, "] a kernel of more than ", kMostVolume, " offsets is not supported");
  }
}

KernelMap::KernelMap(std::unique_ptr<Arena> arena, KernelMapViews views) : arena_(std::move(arena)), views_(views) {}

KernelMap::~KernelMap() = default;

Array KernelMap::pairs() const {
  const Device device = arena_->device();
  Arena scratch(device);
  const Context context{device, nullptr, num_threads(), &scratch};
  const CoordinateKernels& kernels = coordinate_kernels(device);
  Array result({kernels.pair_count(context, views_.forward), 3}, DType::kI32, device);
  kernels.list_pairs(context, views_.forward, result.data<std::int32_t>());
  return result;
}

}  // namespace voxshift
