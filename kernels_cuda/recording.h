// CUDA graphs: work that is recorded once and queued as a whole from then on.
#pragma once

#include <voxshift/tensor/runtime.h>

#include <functional>
#include <memory>

namespace voxshift::cuda {

/// As Runtime::record says.
std::unique_ptr<const Recording> record(const Context& context, const std::function<void(const Context&)>& work);

}  // namespace voxshift::cuda
