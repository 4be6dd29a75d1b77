// The version of the library.
#pragma once

namespace voxshift {

/// "0.2.0"
const char* version();

}  // namespace voxshift
