// Scores of segmentation: ConfusionMatrix and the train ids of label files.
#include <voxshift/tasks/protocol.h>

#include <memory>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "guarded.h"
#include "options.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Counts = Guarded<ConfusionMatrix>;

ConfusionMatrix copy_of(Counts& counts) {
  const py::gil_scoped_release without_gil;
  return counts.use([](const ConfusionMatrix& matrix) { return matrix; });
}

void merge(Counts& counts, Counts& other) {
  const ConfusionMatrix added = copy_of(other);  // first, so that two merges never wait for each other
  const py::gil_scoped_release without_gil;
  counts.use([&](ConfusionMatrix& matrix) { matrix.merge(added); });
}

void add(Counts& counts, const Array& predicted, const Array& truth) {
  check(predicted.shape().size() == 1 && truth.shape() == predicted.shape(),
        "[ConfusionMatrix] expected predicted and truth [N], found ", predicted.shape(), " and ", truth.shape());
  const py::gil_scoped_release without_gil;
  ConfusionMatrix counted(counts.use([](const ConfusionMatrix& matrix) { return matrix.classes(); }));
  counted.add(on_cpu("ConfusionMatrix", predicted).values<std::uint8_t>(),
              on_cpu("ConfusionMatrix", truth).values<std::uint8_t>());
  counts.use([&](ConfusionMatrix& matrix) { matrix.merge(counted); });
}

py::array matrix_of(Counts& counts) {
  const ConfusionMatrix matrix = copy_of(counts);
  std::vector<std::int64_t> values;
  for (std::int64_t predicted = 0; predicted < matrix.classes(); ++predicted)
    for (std::int64_t truth = 0; truth < matrix.classes(); ++truth) values.push_back(matrix.count(predicted, truth));
  return array_of(std::move(values), {matrix.classes(), matrix.classes()});
}

py::array unlabelled(Counts& counts) {
  const ConfusionMatrix matrix = copy_of(counts);
  std::vector<std::int64_t> values;
  for (std::int64_t truth = 0; truth < matrix.classes(); ++truth) values.push_back(matrix.count(kUnlabelled, truth));
  return array_of(std::move(values), {matrix.classes()});
}

py::array train_ids_of(const py::array& labels, const std::string& protocol, bool predicted) {
  if ((labels.dtype().kind() != 'u' && labels.dtype().kind() != 'i') || labels.ndim() != 1)
    check(false, "[train_ids] expected labels of whole numbers [N], found ", std::string(py::str(labels.dtype())), " ",
          Shape(labels.shape(), labels.shape() + labels.ndim()));
  const py::array_t<std::uint32_t, py::array::c_style | py::array::forcecast> words(labels);
  const Protocol& known = find_protocol(protocol);
  std::vector<std::uint8_t> ids;
  {
    const std::span<const std::uint32_t> values(words.data(), static_cast<std::size_t>(words.size()));
    const py::gil_scoped_release without_gil;
    ids = train_ids(values, predicted ? known.predictions : known.truth);
  }
  const auto n = static_cast<std::int64_t>(ids.size());
  return array_of(std::move(ids), {n});
}

constexpr const char* kConfusionDoc = R"(Counts of predicted against true classes, and the scores made of them.

With TP, FP and FN of class c over all points that have a true class:
IoU = TP / (TP + FP + FN + 1e-15), mean_iou their mean, accuracy = sum TP / (sum (TP + FP) + 1e-15).
A point whose truth is 255 counts nowhere; one predicted as 255 is a miss of its true class.
Threads that use one matrix take turns.
Source: np_ioueval.py of the SemanticKITTI API.

classes: 1 to 255. Raises ValueError for others.)";

constexpr const char* kAddDoc = R"(Adds points: train ids uint8 [N], 0 to classes - 1 or 255.

Raises ValueError, and adds none, where shapes or dtypes differ or an id is outside.)";

constexpr const char* kIouDoc = R"(float64 [classes].

absent: the IoU of a class that does not occur: "zero" (SemanticKITTI's evaluator), "one" for a class without a true
point (spvnas), or "left_out": NaN for a class neither true nor predicted anywhere (nuScenes).)";

constexpr const char* kTrainIdsDoc = R"(Train ids uint8 [N] of the words of a label file, 255 where they are ignored.

labels: whole numbers [N], raw id in the lower 16 bits, instance in the upper ones; uint32 of a .label.
protocol: "semantickitti" (the official evaluator's merges), "spvnas", "nuscenes" or "waymo".
predicted: whether they are predictions; nuScenes numbers those 1 to 16 and ground truth 0 to 31.

Raises ValueError for an unknown protocol and for a raw id that it does not have, with its place.)";

}  // namespace

void bind_evaluation(py::module_& m) {
  py::class_<Counts>(m, "ConfusionMatrix", kConfusionDoc)
      .def(py::init([](std::int64_t classes) { return std::make_unique<Counts>(ConfusionMatrix(classes)); }),
           "classes"_a)
      .def("add", &add, "predicted"_a, "truth"_a, kAddDoc)
      .def("merge", &merge, "other"_a,
           "Adds the counts of another matrix. Raises ValueError where its number of classes is another.")
      .def(
          "iou",
          [](Counts& counts, const std::string& absent) {
            const ConfusionMatrix matrix = copy_of(counts);
            return array_of(matrix.iou(absent_of("iou", absent)), {matrix.classes()});
          },
          "absent"_a = "zero", kIouDoc)
      .def(
          "mean_iou",
          [](Counts& counts, const std::string& absent) {
            return copy_of(counts).mean_iou(absent_of("mean_iou", absent));
          },
          "absent"_a = "zero", "Mean of iou(absent) without the NaN; NaN where there is nothing else.")
      .def_property_readonly(
          "accuracy", [](Counts& counts) { return copy_of(counts).accuracy(); },
          "Share of right points among those with a true and a predicted class.")
      .def_property_readonly(
          "classes", [](Counts& counts) { return copy_of(counts).classes(); }, "Number of classes.")
      .def_property_readonly("matrix", &matrix_of, "int64 [classes, classes]: rows predicted, columns true.")
      .def_property_readonly("predicted_unlabelled", &unlabelled,
                             "int64 [classes]: points of each true class that were predicted as 255.")
      .def("__repr__",
           [](Counts& counts) {
             const ConfusionMatrix matrix = copy_of(counts);
             return "ConfusionMatrix(classes=" + std::to_string(matrix.classes()) +
                    ", points=" + std::to_string(matrix.points()) + ")";
           })
      .def(py::pickle(
          [](Counts& counts) {
            const ConfusionMatrix matrix = copy_of(counts);
            return py::make_tuple(matrix.classes(), matrix.counts());
          },
          [](const py::tuple& state) {
            return std::make_unique<Counts>(
                ConfusionMatrix(state[0].cast<std::int64_t>(), state[1].cast<std::vector<std::int64_t>>()));
          }));
  m.def("train_ids", &train_ids_of, "labels"_a, "protocol"_a = "semantickitti", "predicted"_a = false, kTrainIdsDoc);
}

}  // namespace voxshift::python
