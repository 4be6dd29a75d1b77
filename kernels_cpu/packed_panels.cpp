#include <voxshift/kernels_cpu/packed_panels.h>

namespace voxshift::cpu {

PackedPanels::PackedPanels(const float* weight, std::int64_t offsets, std::int64_t inputs, std::int64_t outputs)
    : PackedWeights(offsets, inputs, outputs), data(static_cast<float*>(runtime().allocate(Device::cpu(), bytes()))) {
  float* to = data;
  for (std::int64_t k = 0; k < volume; ++k)
    for (std::int64_t first = 0; first < panels() * kPanel; first += kPanel)
      for (std::int64_t i = 0; i < in_channels; ++i)
        for (std::int64_t o = first; o < first + kPanel; ++o)
          *to++ = o < out_channels ? weight[(k * in_channels + i) * out_channels + o] : 0.0f;
}

PackedPanels::~PackedPanels() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedPanels::bytes() const {
  return static_cast<std::size_t>(volume * panels() * in_channels * kPanel) * sizeof(float);
}

}  // namespace voxshift::cpu
