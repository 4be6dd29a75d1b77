#include <voxshift/tensor/version.h>

namespace voxshift {

const char* version() { return VOXSHIFT_VERSION; }

}  // namespace voxshift
