#include "model_files.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl/filesystem.h>
#include <voxshift/tensor/error.h>

namespace py = pybind11;

namespace voxshift::python {

std::filesystem::path model_file(const std::filesystem::path& path) {
  const std::string text = path.string();
  if (!text.starts_with("hf://")) return path;
  const py::gil_scoped_acquire with_gil;
  return py::module_::import("voxshift.hub").attr("fetch")(text).cast<std::filesystem::path>();
}

std::filesystem::path shipped_file(const std::string& name, bool prefer_i8) {
  const std::filesystem::path package = py::module_::import("voxshift").attr("__file__").cast<std::string>();
  const auto file = [&](const std::string& wanted) {
    return package.parent_path() / "models" / (wanted + ".safetensors");
  };
  std::filesystem::path path =
      prefer_i8 && std::filesystem::exists(file(name + "-i8")) ? file(name + "-i8") : file(name);
  check(std::filesystem::exists(path),
        "[pretrained] expected minkunet-lidar, centerpoint-lidar or tsm-mobilenetv2-motions, or one of them with -i8 "
        "behind it, found \"",
        name, "\"");
  return path;
}

}  // namespace voxshift::python
