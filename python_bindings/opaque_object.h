// Placeholders of what read_checkpoint() does not read.
#pragma once

#include <pybind11/pybind11.h>

#include <filesystem>

namespace voxshift::python {

/// An object, a class or a function by its name.
struct OpaqueObject {
  pybind11::object name;
  bool is_object = false;  ///< else the class or function itself
  pybind11::object arguments, state;
  pybind11::list items;
  pybind11::object entries;
};

/// The content of a checkpoint. Throws BackendUnavailable where voxshift::convert is not built.
pybind11::object read_checkpoint(const std::filesystem::path& path);

}  // namespace voxshift::python
