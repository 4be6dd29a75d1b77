// Pages for browsers; the Python class that people use is in voxshift/look/page.py.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <voxshift/look/page.h>
#include <voxshift/tensor/error.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Colour = std::array<std::uint8_t, 3>;
using NamedColour = std::pair<std::string, std::optional<Colour>>;
using MaybeArray = std::optional<Array>;

Page make_page(const std::vector<NamedColour>& classes, std::string title, std::int64_t max_points,
               std::int64_t max_frames) {
  PageOptions options{std::move(title), {}, max_points, max_frames};
  for (const auto& [name, rgb] : classes) {
    const auto id = static_cast<std::uint32_t>(options.classes.size());
    options.classes.push_back({name, id, rgb ? *rgb : spread_colour(id)});
  }
  return Page(std::move(options));
}

std::vector<PageBox> boxes_of(const Array& boxes, const MaybeArray& scores, const MaybeArray& classes) {
  check(boxes.rank() == 2 && boxes.dim(1) == 7, "[page] boxes expect [M, 7], found ", boxes.shape());
  std::vector<PageBox> found;
  for (std::int64_t i = 0; i < boxes.dim(0); ++i) {
    const float* b = boxes.data<float>() + 7 * i;
    PageBox box{{b[0], b[1], b[2], b[3], b[4], b[5], b[6]}};
    if (scores) box.score = scores->data<float>()[i];
    if (classes) box.class_id = classes->data<std::int32_t>()[i];
    found.push_back(box);
  }
  return found;
}

void add_frame(Page& page, const Array& points, const MaybeArray& labels, const Array& boxes, const MaybeArray& scores,
               const MaybeArray& classes, std::string name, std::optional<double> seconds, bool has_remission,
               const std::array<double, 3>& origin) {
  check(points.rank() == 2, "[page] points expect [N, C], found ", points.shape());
  const std::vector<PageBox> found = boxes_of(boxes, scores, classes);
  PageFrame frame;
  frame.name = std::move(name);
  frame.seconds = seconds;
  frame.points = points.values<float>();
  frame.columns = points.dim(1);
  frame.has_remission = has_remission;
  frame.origin = origin;
  if (labels) frame.labels = labels->values<std::uint8_t>();
  frame.boxes = found;
  const py::gil_scoped_release without_gil;
  page.add(frame);
}

}  // namespace

void bind_page(py::module_& m) {
  py::class_<Page>(m, "_Page")
      .def(py::init(&make_page), "classes"_a, "title"_a, "max_points"_a, "max_frames"_a)
      .def("add", &add_frame, "points"_a, "labels"_a, "boxes"_a, "scores"_a, "classes"_a, "name"_a, "seconds"_a,
           "has_remission"_a, "origin"_a)
      .def("html", &Page::html, WithoutGil())
      .def("save", &Page::save, "path"_a, WithoutGil())
      .def_static("spread_colour", &spread_colour, "index"_a)
      .def_property_readonly("notes", &Page::notes);
}

}  // namespace voxshift::python
