// What a network's products cost.
#pragma once

#include <voxshift/engine/session.h>
#include <voxshift/quantize/narrow_plan.h>

#include <map>
#include <string>

namespace voxshift {

/// Milliseconds by product of the best of a few runs of one sample. Those that run inside a fused block have the share
/// of its time that they have of its multiply-adds, `macs` by product.
std::map<std::string, double> measured_milliseconds(const Network& network, DType dtype, const Inputs& sample,
                                                    const Threads& threads, const std::map<std::string, double>& macs);

/// What i8 saves of a layer, in milliseconds of a nominal machine, so that a choice by it does not depend on the one at
/// hand: of 50 G multiply-adds and 10 GB a second in f32, i8 being three times as fast in both.
double nominal_saving(const LayerReport& layer);

}  // namespace voxshift
