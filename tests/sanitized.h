// Whether this build has sanitizers: tests take less of what they need not take all of.
#pragma once

#include <voxshift/tensor/sanitizers.h>

namespace voxshift {

#if defined(VOXSHIFT_ASAN) || defined(VOXSHIFT_TSAN)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

}  // namespace voxshift
