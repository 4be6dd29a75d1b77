// Pickling and copying: what is data goes by its fields, what holds threads or the state of a stream is refused.
#pragma once

#include <pybind11/pybind11.h>
#include <voxshift/tensor/error.h>

#include <string>
#include <utility>

namespace voxshift::python {

/// Why what goes along with a stream is refused.
inline constexpr const char* kInAStream = "it is in the midst of its frames; make a new one";

/// Objects of an aggregate pickle and copy as the tuple of all their fields, given in order.
template <class Class, class... Options, class... Fields>
void pickle_by_fields(pybind11::class_<Class, Options...>& type, Fields Class::*... fields) {
  namespace py = pybind11;
  type.def(py::pickle([fields...](const Class& object) { return py::make_tuple(object.*fields...); },
                      [](const py::tuple& state) {
                        check(state.size() == sizeof...(Fields), "[pickle] expected ", sizeof...(Fields),
                              " fields, found ", state.size());
                        return [&]<std::size_t... I>(std::index_sequence<I...>) {
                          return Class{state[I].template cast<Fields>()...};
                        }
                        (std::index_sequence_for<Fields...>());
                      }));
}

/// Pickling and copying is a TypeError that says why.
template <class Class, class... Options>
void refuse_pickling(pybind11::class_<Class, Options...>& type, const char* why) {
  type.def("__reduce__", [why](const pybind11::object& self) -> pybind11::object {
    const std::string name = pybind11::str(pybind11::type::of(self).attr("__name__"));
    throw pybind11::type_error("a " + name + " cannot be pickled or copied: " + why);
  });
}

}  // namespace voxshift::python
