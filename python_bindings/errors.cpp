// voxshift's exceptions in Python: each also a built-in one, so that either name catches it.
#include <voxshift/tensor/error.h>

#include "bindings.h"

namespace py = pybind11;

namespace voxshift::python {
namespace {

template <class E>
py::object bind_error(py::module_& m, const char* name, const py::tuple& bases, const char* doc) {
  py::object error = py::register_exception<E>(m, name, bases);
  error.attr("__module__") = "voxshift";
  error.attr("__doc__") = doc;
  return error;
}

py::object builtin(PyObject* error) { return py::reinterpret_borrow<py::object>(error); }

}  // namespace

void bind_errors(py::module_& m) {
  // The translator of the base comes first: pybind11 asks the last one registered first.
  const py::object error = bind_error<Error>(m, "Error", py::make_tuple(builtin(PyExc_Exception)),
                                             "Base of every exception that voxshift raises by itself.");
  bind_error<InvalidArgument>(m, "InvalidArgument", py::make_tuple(error, builtin(PyExc_ValueError)),
                              "A value, shape, dtype or option that the call cannot take. A ValueError.");
  bind_error<BackendUnavailable>(m, "BackendUnavailable", py::make_tuple(error, builtin(PyExc_RuntimeError)),
                                 "The device or operator is not part of this build. A RuntimeError.");
  bind_error<IoError>(m, "IoError", py::make_tuple(error, builtin(PyExc_OSError)),
                      "A file that cannot be read or written, or whose content is not what its name says. An OSError.");
  bind_error<OutOfMemory>(m, "OutOfMemory", py::make_tuple(error, builtin(PyExc_MemoryError)),
                          "An allocation that the device refused. A MemoryError.");
  bind_error<DeviceError>(m, "DeviceError", py::make_tuple(error, builtin(PyExc_RuntimeError)),
                          "The device reported a failure. A RuntimeError.");
}

}  // namespace voxshift::python
