// convert, of a build without the converter.
#include <voxshift/tensor/error.h>

#include "bindings.h"
#include "convert_doc.h"

namespace py = pybind11;

namespace voxshift::python {

void bind_convert(py::module_& m) {
  for (const auto& [name, doc] : {std::pair("convert", kConvertDoc), std::pair("save_onnx", kSaveOnnxDoc)})
    m.def(
        name,
        [name = std::string(name)](const py::args&, const py::kwargs&) {
          throw BackendUnavailable("[" + name +
                                   "] needs libzip and protobuf, which this build does without: install libzip-dev, "
                                   "libprotobuf-dev and protobuf-compiler and build again");
        },
        doc);
}

}  // namespace voxshift::python
