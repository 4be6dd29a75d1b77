#include <voxshift/kernels_cpu/packed_narrow.h>
#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/half.h>

#include <algorithm>
#include <cstring>

namespace voxshift::cpu {
namespace {

/// One panel of a matrix weight[i * stride + o].
template <class T>
struct PanelSource {
  const T* weight;
  std::int64_t stride, inputs, outputs;
};

template <class Number, class T, class Round>
void pack_panel(const NarrowProduct& product, const PanelSource<T>& from, const Round& round, std::byte* to) {
  auto* const numbers = reinterpret_cast<Number*>(to + kPanel * 4);
  for (std::int64_t i = 0; i < from.inputs; ++i)
    for (std::int64_t o = 0; o < from.outputs; ++o)
      numbers[(i / product.group * kPanel + o) * product.group + i % product.group] =
          static_cast<Number>(round(from.weight[i * from.stride + o]));
}

void pack_head(const NarrowProduct& product, const PanelSource<std::int8_t>& from, std::byte* to) {
  std::int32_t head[kPanel] = {};
  for (std::int64_t i = 0; i < from.inputs; ++i)
    for (std::int64_t o = 0; o < from.outputs; ++o) head[o] -= product.zero * from.weight[i * from.stride + o];
  std::memcpy(to, head, sizeof head);
}

/// Calls body(panel source, where it goes) for all panels.
template <class T, class Body>
void for_panels_of(const Context& context, const PackedNarrow& packed, const T* weight, const Body& body) {
  parallel_for(context, packed.volume * packed.panels(), [&](std::int64_t panel, int) {
    const std::int64_t k = panel / packed.panels(), first = panel % packed.panels() * kPanel;
    const PanelSource<T> from{weight + k * packed.in_channels * packed.out_channels + first, packed.out_channels,
                              packed.in_channels, std::min(kPanel, packed.out_channels - first)};
    std::byte* const to = packed.data + panel * packed.panel_bytes();
    std::memset(to, 0, static_cast<std::size_t>(packed.panel_bytes()));
    body(from, to);
  });
}

constexpr std::int64_t kMostSummed = INT32_MAX / (kMostI8 * kMostI8);

}  // namespace

PackedNarrow::PackedNarrow(const NarrowProduct& narrow, std::int64_t offsets, std::int64_t inputs, std::int64_t outputs)
    : PackedWeights(offsets, inputs, outputs),
      product(narrow),
      data(static_cast<std::byte*>(runtime().allocate(Device::cpu(), bytes()))),
      multiplier(narrow.dtype == DType::kI8
                     ? reinterpret_cast<float*>(data + offsets * panels() * narrow.panel_bytes(inputs))
                     : nullptr) {}

PackedNarrow::PackedNarrow(const Context& context, const NarrowProduct& narrow, const float* weight,
                           std::int64_t offsets, std::int64_t inputs, std::int64_t outputs)
    : PackedNarrow(narrow, offsets, inputs, outputs) {
  const bool half = product.dtype == DType::kF16;
  for_panels_of(context, *this, weight, [&](const PanelSource<float>& from, std::byte* to) {
    pack_panel<std::uint16_t>(product, from, half ? to_half : to_bfloat, to);
  });
}

PackedNarrow::PackedNarrow(const Context& context, const NarrowProduct& narrow, const QuantizedWeights& weights,
                           std::int64_t offsets, std::int64_t inputs, std::int64_t outputs)
    : PackedNarrow(narrow, offsets, inputs, outputs) {
  check(offsets * inputs <= kMostSummed, "[cpu] weight of i8 expects at most ", kMostSummed,
        " numbers per output, whose products int32 sums, found ", offsets, " offsets of ", inputs, " channels");
  std::fill_n(multiplier, panels() * kPanel, 0.0f);
  std::copy_n(weights.multiplier, outputs, multiplier);
  const auto same = [](int number) { return number; };
  for_panels_of(context, *this, weights.weight, [&](const PanelSource<std::int8_t>& from, std::byte* to) {
    if (product.weight_size == 1) {
      pack_panel<std::int8_t>(product, from, same, to);
    } else {
      pack_panel<std::int16_t>(product, from, same, to);
    }
    pack_head(product, from, to);
  });
}

PackedNarrow::~PackedNarrow() { runtime().free(Device::cpu(), data, bytes()); }

std::size_t PackedNarrow::bytes() const {
  const std::int64_t multipliers = product.dtype == DType::kI8 ? panels() * kPanel * 4 : 0;
  return static_cast<std::size_t>(volume * panels() * panel_bytes() + multipliers);
}

std::shared_ptr<const PackedWeights> pack_weights(const char* op, const Context& context, const float* weight,
                                                  std::int64_t offsets, std::int64_t inputs, std::int64_t outputs,
                                                  DType dtype) {
  if (dtype == DType::kF32) return std::make_shared<const PackedPanels>(context, weight, offsets, inputs, outputs);
  check<BackendUnavailable>(dtype == DType::kF16 || dtype == DType::kBF16, "[", op, "] the CPU has no kernel for ",
                            name(dtype), " with weights of f32");
  return std::make_shared<const PackedNarrow>(context, narrow_product(dtype), weight, offsets, inputs, outputs);
}

const PackedNarrow& packed_for(const char* op, const PackedWeights& weights, const ConstRowView& in,
                               std::int64_t volume, std::int64_t outputs) {
  check<BackendUnavailable>(in.dtype == DType::kI8 || in.dtype == DType::kBF16 || in.dtype == DType::kF16, "[", op,
                            "] the CPU has no kernel for ", name(in.dtype));
  const auto& packed = packed_as<PackedNarrow>(op, weights, volume, in.channels, outputs);
  check(packed.product.dtype == in.dtype, "[", op, "] the weights were packed for ", name(packed.product.dtype),
        ", found features of ", name(in.dtype));
  return packed;
}

}  // namespace voxshift::cpu
