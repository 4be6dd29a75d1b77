// In which layout the kernels of a state dict lie.
#pragma once

#include <voxshift/convert/fit.h>

#include <string>
#include <vector>

namespace voxshift {

/// A network that a source sees in a state dict, with its kernels in one layout.
struct Fit {
  KernelLayout layout = KernelLayout::kTorchsparse;
  Sketch sketch = {};
  Places places = {};
  std::vector<std::string> misfits = {};
};

/// Whether the network has sparse convolutions.
bool has_kernels(const Fit& fit);

/// The one layout in which every tensor has its shape: of those that the source's kernels may have, or the one of the
/// options. Throws InvalidArgument where there is none, naming what is wrong with the nearest one, and where there are
/// several.
Fit only_fit(const Source& source, const StateDict& state, const ConvertOptions& options);

}  // namespace voxshift
