#include <voxshift/kernels_cpu/packed_panels.h>
#include <voxshift/kernels_cpu/parallel.h>

#include <algorithm>

namespace voxshift::cpu {

PackedPanels::PackedPanels(const Context& context, const float* weight, std::int64_t offsets, std::int64_t inputs,
                           std::int64_t outputs, WeightOrder order)
    : PackedWeights(offsets, inputs, outputs), data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))) {
  parallel_for(context, volume * panels(), [&](std::int64_t panel, int) {
    const std::int64_t k = panel / panels(), first = panel % panels() * kPanel;
    const std::int64_t present = std::min(kPanel, out_channels - first);
    float* to = data + panel * in_channels * kPanel;
    for (std::int64_t i = 0; i < in_channels; ++i, to += kPanel) {
      if (order == WeightOrder::kInOut) {
        std::copy_n(weight + (k * in_channels + i) * out_channels + first, present, to);
      } else {
        for (std::int64_t o = 0; o < present; ++o) to[o] = weight[(k * out_channels + first + o) * in_channels + i];
      }
      std::fill_n(to + present, kPanel - present, 0.0f);
    }
  });
}

PackedPanels::~PackedPanels() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedPanels::bytes() const {
  return static_cast<std::size_t>(volume * panels() * in_channels * kPanel) * sizeof(float);
}

}  // namespace voxshift::cpu
