// Sums over rows, channel by channel, in two steps: over chunks of rows, then over the chunks in double precision.
#pragma once

#include <voxshift/kernels_cpu/parallel.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/runtime.h>

#include <cmath>
#include <cstdint>

namespace voxshift::cpu {

constexpr std::int64_t kChunkRows = 512;

inline std::int64_t chunks_of(std::int64_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }

/// Two partial sums of every channel and chunk, filled by body(first, last, a, b) for the chunk of rows [first, last).
class PartialSums {
 public:
  template <class Body>
  PartialSums(const Context& context, std::int64_t rows, std::int64_t channels, const Body& body)
      : channels_(channels), chunks_(chunks_of(rows)), sums_(context.arena->allocate<float>(2 * chunks_ * channels)) {
    parallel_ranges(context, rows, kChunkRows, [&](std::int64_t first, std::int64_t last, std::int64_t chunk) {
      body(first, last, sums_ + 2 * chunk * channels_, sums_ + (2 * chunk + 1) * channels_);
    });
  }

  std::int64_t chunks() const { return chunks_; }
  double first(std::int64_t chunk, std::int64_t channel) const { return sums_[2 * chunk * channels_ + channel]; }
  double second(std::int64_t chunk, std::int64_t channel) const { return sums_[(2 * chunk + 1) * channels_ + channel]; }

 private:
  std::int64_t channels_, chunks_;
  float* sums_;
};

/// weight / sqrt(variance + eps)
inline void scales(const BatchNormLayer& layer, const float* variance, std::int64_t channels, float* scale) {
  for (std::int64_t c = 0; c < channels; ++c)
    scale[c] = static_cast<float>(layer.weight[c] / std::sqrt(static_cast<double>(variance[c]) + layer.eps));
}

}  // namespace voxshift::cpu
