// `voxshift.read_checkpoint`.
#include <pybind11/stl/filesystem.h>

#include "bindings.h"
#include "opaque_object.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {

void bind_checkpoints(py::module_& m) {
  py::class_<OpaqueObject> opaque(m, "OpaqueObject",
                                  "What a checkpoint holds of a class that read_checkpoint does not know: it was "
                                  "neither imported nor called.");
  pickle_by_fields(opaque, &OpaqueObject::name, &OpaqueObject::is_object, &OpaqueObject::arguments,
                   &OpaqueObject::state, &OpaqueObject::items, &OpaqueObject::entries);
  opaque.def_readonly("name", &OpaqueObject::name, "The class or function, \"module.name\".")
      .def_readonly("is_object", &OpaqueObject::is_object,
                    "An object of the class, or the result of the call; False: the class or function itself.")
      .def_readonly("arguments", &OpaqueObject::arguments, "What it would be called with, a tuple, or None.")
      .def_readonly("state", &OpaqueObject::state, "The object's attributes, mostly a dict, or None.")
      .def_readonly("items", &OpaqueObject::items, "What was appended to it, a list.")
      .def_readonly("entries", &OpaqueObject::entries, "What was set in it by key, a dict.")
      .def("__repr__", [](const OpaqueObject& object) {
        return py::str(object.is_object ? "<{}, not read>" : "<the name {}>").format(object.name);
      });
  m.def("read_checkpoint", &read_checkpoint, "path"_a,
        R"(Reads a checkpoint of PyTorch, or .safetensors, without PyTorch.

.pth, .pt, .pth.tar, .ckpt, .t7, .th, .pkl, .safetensors: the content decides, torch.save's zip archives (PyTorch 1.6 and
later) and its older pickles. Returns what the file holds: dicts, lists, tuples, sets, numbers, strings, and a numpy array
for each tensor, with its shape, strides and dtype; bfloat16, which numpy lacks, becomes float32. Tensors that share
memory in the file share it here. `_metadata`, the versions of modules that state_dict() adds, is an attribute of the dict
as torch.load has it (state._metadata[""]["version"]), a collections.OrderedDict then; so is the metadata of
.safetensors. argparse.Namespace becomes a dict.

Nothing in the file is imported or called, so a file of a stranger is safe to read: any other object becomes an
OpaqueObject with its class's name and state. Raises IoError for a damaged file, a libtorch (TorchScript) archive, a tar
of PyTorch 0.1, and one that holds nothing but a call, which it names; BackendUnavailable where the build lacks libzip.)");
}

}  // namespace voxshift::python
