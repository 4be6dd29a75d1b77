// Instead of checkpoints.cpp where voxshift::convert is not built.
#include <voxshift/tensor/error.h>

#include "opaque_object.h"

namespace voxshift::python {

pybind11::object read_checkpoint(const std::filesystem::path&) {
  throw BackendUnavailable(
      "[read_checkpoint] expects a build with libzip: install libzip-dev and build again (-DVOXSHIFT_CONVERT=ON)");
}

}  // namespace voxshift::python
