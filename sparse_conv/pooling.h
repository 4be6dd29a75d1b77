// Kinds of pooling.
#pragma once

namespace voxshift {

/// The maximum of values with a NaN is NaN, whose first one has the gradient.
enum class Pooling { kMax, kAverage, kSum };

}  // namespace voxshift
