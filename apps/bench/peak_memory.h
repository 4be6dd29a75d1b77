// The most memory that this process has had.
#pragma once

#include <cstdint>

namespace voxshift::bench {

/// From here on peak_bytes() counts anew, where the system can (Linux, Android).
void reset_peak();

/// Resident, since reset_peak(); of a system that cannot, since the start. 0: not known.
std::int64_t peak_bytes();

}  // namespace voxshift::bench
