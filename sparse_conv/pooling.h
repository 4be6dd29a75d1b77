// Kinds of pooling.
#pragma once

namespace voxshift {

enum class Pooling { kMax, kAverage, kSum };

}  // namespace voxshift
