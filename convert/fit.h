// Whether a state dict has what a network needs, and the network with it.
#pragma once

#include <voxshift/convert/source.h>

#include <map>
#include <string>
#include <vector>

namespace voxshift {

/// The tensors of a sketched network as they are stored, by their names in the network.
using Places = std::map<std::string, StoredAs>;

/// Kernels of sparse convolutions as the layout has them, linear layers also with ones at the end of their shapes (1x1
/// convolutions), biases of sparse convolutions also as [1, C]; then what the sketch says. Other tensors are stored as
/// they are.
Places places_of(const Sketch& sketch, KernelLayout layout);

/// What does not fit, a line each that names tensor, shapes found and expected: tensors that are missing or of another
/// shape, and those that neither have a place nor are left out.
std::vector<std::string> misfits(const Sketch& sketch, const Places& places, const StateDict& state);

/// What of the state dict is left out and why, a line per reason.
std::vector<std::string> omissions(const Sketch& sketch, const Places& places, const StateDict& state);

/// Reads the tensors into the network, one after the other. Nothing must misfit.
Network filled(Sketch sketch, const Places& places, const StateDict& state);

}  // namespace voxshift
