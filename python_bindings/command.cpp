// The command `voxshift` in the Python process that is to become it.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <voxshift/tensor/error.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings.h"
#include "own_files.h"
#include "rrd.h"
#include "run_command.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

template <class T>
py::array_t<T> numpy_copy(std::span<const T> values, const Shape& shape) {
  return py::array_t<T>(shape, values.data());
}

/// voxshift.look.rrd.Recording, called from any thread of the command, which holds no lock of Python.
class PythonRrd final : public RrdWriter {
 public:
  PythonRrd(const std::filesystem::path& path, std::span<const ClassInfo> classes) : path_(path.string()) {
    call([&] {
      const py::object recording = py::module_::import("voxshift.look.rrd").attr("Recording");
      const auto with_lock = [](const py::object* held) {
        const py::gil_scoped_acquire with_gil;
        delete held;
      };
      recording_ = {new py::object(recording(path_, std::vector<ClassInfo>(classes.begin(), classes.end()))),
                    with_lock};
    });
  }

  void add(const std::string& name, const PointCloud& scan, std::span<const std::uint8_t> labels,
           std::span<const FoundBox> boxes) override {
    call([&] {
      std::vector<float> places, scores;
      std::vector<std::int32_t> ids;
      for (const FoundBox& found : boxes) {
        const Box3d& b = found.box;
        places.insert(places.end(), {b.x, b.y, b.z, b.length, b.width, b.height, b.yaw});
        scores.push_back(found.score);
        ids.push_back(found.class_id);
      }
      const auto count = static_cast<std::int64_t>(boxes.size());
      recording_->attr("add_scan")(
          py::dict("name"_a = py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(name.c_str())),
                   "points"_a = numpy_copy<float>(scan.points, {scan.count(), scan.columns}),
                   "labels"_a = numpy_copy<std::uint8_t>(labels, {static_cast<std::int64_t>(labels.size())}),
                   "boxes"_a = numpy_copy<float>(places, {count, 7}), "scores"_a = numpy_copy<float>(scores, {count}),
                   "classes"_a = numpy_copy<std::int32_t>(ids, {count}), "has_remission"_a = scan.has_remission,
                   "origin"_a = scan.origin));
    });
  }

  void add(const RrdFrame& frame) override {
    call([&] {
      const Shape& shape = frame.pixels.shape();
      recording_->attr("add_image")(numpy_copy<std::uint8_t>(frame.pixels.values<std::uint8_t>(), shape),
                                    "number"_a = frame.number, "seconds"_a = frame.seconds,
                                    "computed"_a = numpy_copy<std::uint8_t>(frame.computed, {shape[0], shape[1]}),
                                    "label"_a = frame.label, "score"_a = frame.score,
                                    "mac_fraction"_a = frame.mac_fraction, "milliseconds"_a = frame.milliseconds);
    });
  }

  void close() override {
    call([&] { recording_->attr("close")(); });
  }

 private:
  /// Python's exceptions as one line of the command's.
  template <class Part>
  void call(const Part& part) const {
    const py::gil_scoped_acquire with_gil;
    std::string what;
    try {
      return part();
    } catch (const py::error_already_set& error) {
      what = py::str(error.value());
    }
    throw IoError(what.rfind(path_, 0) == 0 ? what : path_ + ": " + what);
  }

  std::string path_;
  std::shared_ptr<py::object> recording_;
};

}  // namespace

void bind_command(py::module_& m) {
  m.def("_run_command", [](std::vector<std::string> arguments, const std::string& package) {
    set_own_folder(package);
    set_rrd_maker([](const std::filesystem::path& path, std::span<const ClassInfo> classes) {
      return std::make_unique<PythonRrd>(path, classes);
    });
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const py::gil_scoped_release release;
    return run_command(static_cast<int>(arguments.size()), argv.data());
  });
}

}  // namespace voxshift::python
