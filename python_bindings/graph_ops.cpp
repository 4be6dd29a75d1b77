// The table of ops that graphs are made of.
#include <pybind11/stl.h>
#include <voxshift/graph/op.h>

#include <variant>

#include "bindings.h"

namespace py = pybind11;

namespace voxshift::python {
namespace {

const char* name_of(AttributeSpec::Kind kind) {
  constexpr const char* kNames[]{"flag", "whole", "number", "word", "per_axis", "per_axis_number"};
  return kNames[static_cast<int>(kind)];
}

py::object attribute_to_python(const Attribute& value) {
  if (const auto* wholes = std::get_if<PerAxis>(&value)) return py::cast(std::vector<std::int64_t>(*wholes));
  if (const auto* numbers = std::get_if<PerAxisNumber>(&value)) return py::cast(std::vector<double>(*numbers));
  return std::visit([](const auto& of_its_type) -> py::object { return py::cast(of_its_type); }, value);
}

py::dict attribute(const AttributeSpec& spec) {
  py::dict entry;
  entry["type"] = name_of(spec.kind);
  entry["text"] = spec.text;
  entry["expects"] = spec.expectation();
  if (!spec.usual.empty()) entry["default"] = attribute_to_python(spec.usual.front());
  return entry;
}

py::dict describe(const OpDefinition& op) {
  py::dict parameters, attributes;
  for (const ParameterSpec& parameter : op.parameters)
    parameters[parameter.role] = py::dict(py::arg("shape") = parameter.text, py::arg("required") = parameter.required);
  for (const AttributeSpec& spec : op.attributes) attributes[spec.name] = attribute(spec);
  py::dict entry;
  entry["text"] = op.text;
  entry["inputs"] = op.inputs;
  entry["any_number_of_inputs"] = op.more_inputs;
  entry["parameters"] = parameters;
  entry["attributes"] = attributes;
  entry["narrow"] = op.narrow;
  return entry;
}

py::dict graph_ops() {
  py::dict table;
  for (const OpDefinition* op : all_ops()) table[op->name] = describe(*op);
  return table;
}

}  // namespace

void bind_graph_ops(py::module_& m) {
  m.def(
      "graph_ops", &graph_ops,
      "The ops that a graph may have, as the library defines them, by name.\n\n"
      "{name: {text, inputs: [role], any_number_of_inputs, parameters: {role: {shape, required}}, attributes: {name:\n"
      "{type, text, expects, default}}, narrow}}; type is \"flag\", \"whole\", \"number\", \"word\", \"per_axis\" "
      "(whole\n"
      "numbers) or \"per_axis_number\", and an attribute without a default must be given. narrow: whether the op takes "
      "and\n"
      "gives values of i8, f16 and bf16; around others they are float32, or f16 in networks of f16 on CUDA.");
}

}  // namespace voxshift::python
