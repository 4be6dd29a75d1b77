// convert: checkpoints of other libraries.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <voxshift/convert/convert.h>
#include <voxshift/convert/onnx_out.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "convert_doc.h"
#include "loaded_model.h"
#include "options.h"
#include "prepared_points.h"
#include "threads.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

std::unique_ptr<LoadedModel> convert_checkpoint(const std::filesystem::path& path, const std::string& source,
                                                const std::string& arch, const std::string& layout,
                                                const std::optional<std::vector<std::string>>& classes,
                                                const std::optional<std::string>& profile, const std::string& device,
                                                const std::optional<AnyThreads>& threads, const std::string& dtype,
                                                const std::optional<py::list>& notes,
                                                const std::optional<std::vector<std::string>>& outputs) {
  std::vector<std::string> lines, guesses;
  auto model = [&] {
    const py::gil_scoped_release without_gil;
    Conversion made = convert(path, {source, arch, layout, classes.value_or(std::vector<std::string>()),
                                     profile.value_or(""), outputs.value_or(std::vector<std::string>())});
    lines = std::move(made.report);
    guesses = std::move(made.warnings);
    return std::make_unique<LoadedModel>(made.model, parse_device(device), threads_of("Model", threads, {}), dtype);
  }();
  if (notes) {
    py::list list = *notes;
    for (const std::string& line : lines) list.append(line);
    for (const std::string& guess : guesses) list.append("guess: " + guess);
  } else {
    warn("convert", guesses);
  }
  return model;
}

}  // namespace

void bind_convert(py::module_& m) {
  m.def("convert", &convert_checkpoint, "path"_a, "source"_a = "auto", "arch"_a = "", "layout"_a = "",
        "classes"_a = py::none(), "profile"_a = py::none(), "device"_a = "cpu", "threads"_a = py::none(),
        "dtype"_a = "auto", "notes"_a = py::none(), "outputs"_a = py::none(), kConvertDoc);
  m.def(
      "save_onnx",
      [](const LoadedModel& model, const std::filesystem::path& path) {
        const py::gil_scoped_release without_gil;
        write_onnx(model.model(), path);
      },
      "model"_a, "path"_a, kSaveOnnxDoc);
}

}  // namespace voxshift::python
