// How the programs of the GPU measure and what they print: JSON, one object a line.
#pragma once

#include <voxshift/tensor/array.h>
#include <voxshift/tensor/runtime.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda_limits.h"

namespace voxshift::bench {

const Device kCuda = Device::cuda();

/// What is run. `tiny`: everything small and once, which shows on an emulated device that it works.
struct CudaRun {
  Array scan;
  Limits limits{};
  bool tiny = false;
  double width = 1;  ///< of networks
  int repeats = 50;
  std::string of = {};  ///< what names begin with
};

struct Times {
  double best, median;
};

/// Milliseconds of a call with all its work on the calling thread's stream done; `repeats` calls after a few that warm
/// up.
Times milliseconds(int repeats, const std::function<void()>& call);

/// The middle of some values.
double median(std::vector<double> values);

/// A line of the report.
void print(const std::string& name, const std::vector<std::pair<std::string_view, double>>& fields);

/// Throws Error where one of two vectors of logits has other bits.
void check_bits(const std::string& name, const Array& found, const Array& expected);

/// MinkUNet, and layers of one dtype.
void measure_network(const CudaRun& run, DType dtype);
void measure_layers(const CudaRun& run, DType dtype);

/// The parts of the program.
void measure_networks(const CudaRun& run);
void measure_labels(const CudaRun& run);
void measure_layers(const CudaRun& run);
void measure_designs(const CudaRun& run);
void measure_dense(const CudaRun& run);
void measure_video(const CudaRun& run);
void measure_sessions(const CudaRun& run);

}  // namespace voxshift::bench
