// What one pass over the data tells of a network's values.
#pragma once

#include <voxshift/quantize/narrow_plan.h>
#include <voxshift/quantize/quantize.h>
#include <voxshift/quantize/simulation.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace voxshift {

struct Calibrated {
  ValueScales own;                                 ///< of values that inherit none, one number per channel
  std::vector<std::vector<Array>> outputs;         ///< by sample: the network's, in f32
  std::map<std::string, std::int64_t> not_finite;  ///< NaN and infinite numbers, of values that had any
};

/// Runs every sample and finds the scale of every channel of each i8 value of the plan, by the least squared error of
/// the numbers that the data give it; no smaller than an eighth of what all of the value's channels together would
/// have, and that of a channel that is always 0. `done` is called after each sample.
Calibrated calibrated(Simulation& simulation, const Network& network, const NarrowPlan& plan,
                      const CalibrationData& data, const std::function<void()>& done);

/// By product: what rounding adds to each output channel on average over the rows of all samples, of products whose
/// rounded weights the simulation knows.
std::map<std::string, std::vector<double>> mean_errors(Simulation& simulation, const CalibrationData& data,
                                                       const std::function<void()>& done);

}  // namespace voxshift
