// Instead of command.cpp where the command is not built.
#include <voxshift/tensor/error.h>

#include "bindings.h"

namespace voxshift::python {

void bind_command(pybind11::module_& m) {
  m.def("_run_command", [](const pybind11::args&) -> int {
    throw BackendUnavailable("this package was built without the command: build it with VOXSHIFT_APPS=ON");
  });
}

}  // namespace voxshift::python
