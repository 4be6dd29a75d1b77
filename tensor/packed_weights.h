// Weights in the layout that one backend's kernels read.
#pragma once

#include <voxshift/tensor/error.h>

#include <cstddef>
#include <cstdint>

namespace voxshift {

/// Made by a backend's pack(), read by that backend only. Immutable.
struct PackedWeights {
  std::int64_t volume, in_channels, out_channels;

  PackedWeights(std::int64_t offsets, std::int64_t inputs, std::int64_t outputs)
      : volume(offsets), in_channels(inputs), out_channels(outputs) {}
  virtual ~PackedWeights() = default;

  /// Memory held.
  virtual std::size_t bytes() const = 0;
};

/// The weights in the layout `Packed` that the kernel of `op` reads; InvalidArgument where another backend or op packed
/// them, and for other extents.
template <class Packed>
const Packed& packed_as(const char* op, const PackedWeights& weights, std::int64_t volume, std::int64_t inputs,
                        std::int64_t outputs) {
  const auto* const packed = dynamic_cast<const Packed*>(&weights);
  check(packed != nullptr, "[", op, "] the weights were packed for another op or device");
  check(packed->volume == volume && packed->in_channels == inputs && packed->out_channels == outputs, "[", op,
        "] expected packed weights of ", volume, " offsets, ", inputs, " to ", outputs, " channels, found ",
        packed->volume, " offsets, ", packed->in_channels, " to ", packed->out_channels);
  return *packed;
}

/// Input or output channels of a weight at most: kernels count offsets times channels in 32 bits.
inline constexpr std::int64_t kMostWeightChannels = 1 << 20;

/// Throws InvalidArgument for a weight of more channels.
inline void check_weight_channels(const char* op, std::int64_t inputs, std::int64_t outputs) {
  check(inputs <= kMostWeightChannels && outputs <= kMostWeightChannels, "[", op, "] weight expects at most ",
        kMostWeightChannels, " channels, found ", inputs, " to ", outputs);
}

}  // namespace voxshift
