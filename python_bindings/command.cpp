// The command `voxshift` in the Python process that is to become it.
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings.h"
#include "own_files.h"
#include "run_command.h"

namespace py = pybind11;

namespace voxshift::python {

void bind_command(py::module_& m) {
  m.def("_run_command", [](std::vector<std::string> arguments, const std::string& package) {
    set_own_folder(package);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const py::gil_scoped_release release;
    return run_command(static_cast<int>(arguments.size()), argv.data());
  });
}

}  // namespace voxshift::python
