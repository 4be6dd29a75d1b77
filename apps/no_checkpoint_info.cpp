// Instead of checkpoint_info.cpp where voxshift::convert is not built.
#include <voxshift/tensor/error.h>

#include "checkpoint_info.h"

namespace voxshift {

void print_checkpoint(const std::filesystem::path& path) {
  throw BackendUnavailable(path.string() +
                           ": is a checkpoint, which this build does not read: install libzip-dev and build again "
                           "(-DVOXSHIFT_CONVERT=ON)");
}

}  // namespace voxshift
