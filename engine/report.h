// Reports of a network's runs: rows, MACs and time of each step.
#pragma once

#include <voxshift/tensor/dtype.h>

#include <cstdint>
#include <string>
#include <vector>

namespace voxshift {

/// One step of a run.
struct LayerReport {
  std::string name;  ///< node that gives the weights
  std::string kind;  ///< "conv 3x3x3", "conv_transpose 2x2x2 / 2", "linear", "affine", "mean", "interpolate" ..
  std::int64_t rows = 0, in_channels = 0, out_channels = 0;
  std::int64_t pairs = 0;  ///< of the kernel map; rows for linear
  std::int64_t macs = 0;
  double seconds = 0;
  DType dtype = DType::kF32;  ///< of what it reads, and of its weights
};

/// Cost of the last run, or of several, whose rows, MACs and times add up.
struct RunReport {
  std::int64_t macs = 0;
  std::int64_t voxels = 0;  ///< rows of the network's input: voxels or points
  double maps_seconds = 0, network_seconds = 0;
  std::vector<LayerReport> layers;

  /// Adds rows, MACs and times of another run of the same network.
  void add(const RunReport& other);
};

}  // namespace voxshift
