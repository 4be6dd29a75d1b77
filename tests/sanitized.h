// Whether this build has sanitizers: tests take less of what they need not take all of.
#pragma once

namespace voxshift {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

}  // namespace voxshift
