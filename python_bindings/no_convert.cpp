// convert, of a build without the converter.
#include <voxshift/tensor/error.h>

#include "bindings.h"
#include "convert_doc.h"

namespace py = pybind11;

namespace voxshift::python {

void bind_convert(py::module_& m) {
  m.def(
      "convert",
      [](const py::args&, const py::kwargs&) {
        throw BackendUnavailable(
            "[convert] needs libzip, which this build does without: install libzip-dev and build again");
      },
      kConvertDoc);
}

}  // namespace voxshift::python
