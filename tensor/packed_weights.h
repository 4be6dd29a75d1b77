// Weights in the layout that one backend's kernels read.
#pragma once

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

}  // namespace voxshift
