// Preprocessing as Python has it: a dict, as Model.profile gives it and as a profile's file has it.
#pragma once

#include <pybind11/stl.h>
#include <voxshift/tasks/profile.h>

#include <string>
#include <variant>

namespace voxshift::python {

/// A known profile's name, the path of a JSON file, or a dict.
using AnyProfile = std::variant<std::string, pybind11::dict>;

/// With the GIL. Throws InvalidArgument, and IoError for a bad file.
Profile profile_of(const AnyProfile& profile);

pybind11::dict to_python(const Profile& profile);

}  // namespace voxshift::python
