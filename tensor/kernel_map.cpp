#include <voxshift/tensor/kernel_map.h>
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

Window::Extents Window::offset(int k) const {
  Extents result{0, 0, 0, 0};
  for (int axis = dims - 1; axis >= 0; --axis) {
    const auto d = static_cast<std::size_t>(axis);
    const int tap = k % size[d];
    k /= size[d];
    const bool centred = semantics == Semantics::kFloor && size[d] % 2 == 1;
    result[d] = (tap - (centred ? size[d] / 2 : 0)) * dilation[d];
    if (semantics == Semantics::kBounded) result[d] -= pad[d];
  }
  return result;
}

void Window::check_valid(const char* op) const {
  constexpr int kMostTaps = 1 << 20;  // per axis, so that offsets and volumes stay far inside int32
  constexpr std::int64_t kMostVolume = 4096;
  check(dims >= 1 && dims <= kMaxDimensions, "[", op, "] expected 1 to ", kMaxDimensions, " dimensions, found ", dims);
  std::int64_t total = 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) {
    for (const auto& [what, value, least] : {std::tuple("kernel size", size[d], 1),
                                             {"stride", stride[d], 1},
                                             {"dilation", dilation[d], 1},
                                             {"padding", pad[d], 0}})
      check(value >= least && value < kMostTaps, "[", op, "] ", what, " of axis ", d, " must be ", least, " to ",
            kMostTaps - 1, ", found ", value);
    total *= size[d];
    check(total <= kMostVolume, "[", op, "] a kernel of more than ", kMostVolume, " offsets is not supported");
  }
}

KernelMap::KernelMap(std::unique_ptr<Arena> arena, KernelMapViews views) : arena_(std::move(arena)), views_(views) {}

KernelMap::~KernelMap() = default;

Array KernelMap::pairs() const {
  const Device device = arena_->device();
  check(device.kind == Device::Kind::kCpu, "[kernel_map] pairs are read on the CPU, the map is on ", name(device));
  Array result({views_.forward.pair_count(), 3}, DType::kI32);
  auto* to = result.data<std::int32_t>();
  for (int k = 0; k < views_.forward.volume; ++k) {
    const PairList& list = views_.forward.pairs[k];
    for (std::int64_t p = 0; p < list.count; ++p, to += 3) {
      to[0] = k;
      to[1] = list.in[p];
      to[2] = list.out[p];
    }
  }
  return result;
}

}  // namespace voxshift
