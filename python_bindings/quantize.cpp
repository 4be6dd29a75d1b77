// quantize: models of i8.
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/quantize/quantize.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "loaded_model.h"
#include "prepared_points.h"
#include "threads.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Sample = std::variant<Array, SparseTensor, std::pair<Array, Array>, Operands>;

// Adds what one item of Python's data is to the samples; what was guessed of it.
struct Adding {
  const Model& model;
  CalibrationData& data;

  const GraphInput& input() const { return model.graph().inputs.front(); }

  std::vector<std::string> operator()(const Operands& inputs) const {
    data.push_back(inputs_of(model.graph(), inputs, Device::cpu()));
    return {};
  }
  std::vector<std::string> operator()(const SparseTensor& x) const { return (*this)(Operands{{input().name, x}}); }
  std::vector<std::string> operator()(const std::pair<Array, Array>& x) const {
    return (*this)(Operands{{input().name, x}});
  }
  std::vector<std::string> operator()(const Array& x) const {
    const bool frames = input().kind == InputKind::kFrames;
    if (!frames && (model.has_profile() || input().kind == InputKind::kVoxels))
      return add_scan(data, model, on_cpu("quantize", x));
    if (!frames || x.dtype() != DType::kU8) return (*this)(Operands{{input().name, x}});
    add_clip(data, model, on_cpu("quantize", x));
    return {};
  }
};

py::dict layer_to_python(const QuantizedLayer& layer) {
  return py::dict("name"_a = layer.name, "kind"_a = layer.kind, "dtype"_a = name(layer.dtype),
                  "reason"_a = layer.reason, "macs"_a = layer.macs, "weight_bytes"_a = layer.weight_bytes,
                  "snr"_a = layer.snr, "milliseconds"_a = layer.milliseconds,
                  "saved_milliseconds"_a = layer.saved_milliseconds);
}

py::dict report_of(const Quantization& found) {
  py::list layers;
  for (const QuantizedLayer& layer : found.layers) layers.append(layer_to_python(layer));
  return py::dict("snr"_a = found.snr, "loss"_a = found.loss, "stored"_a = name(found.stored), "layers"_a = layers);
}

CalibrationData calibration_data(const Model& model, const py::object& data, int synthetic, std::uint64_t seed) {
  check(synthetic >= 0, "[quantize] synthetic expects 0 or more samples, found ", synthetic);
  CalibrationData samples;
  std::vector<std::string> notes;
  if (!data.is_none()) {
    check(!py::hasattr(data, "shape") && !py::isinstance<py::dict>(data) && py::isinstance<py::iterable>(data),
          "[quantize] data expects a list of scans, clips or inputs of the network, found one ",
          std::string(py::str(py::type::of(data).attr("__name__"))));
    for (const py::handle item : data) {
      const auto sample = item.cast<Sample>();
      const py::gil_scoped_release without_gil;
      for (std::string& note : std::visit(Adding{model, samples}, sample)) notes.push_back(std::move(note));
    }
  }
  warn("quantize", notes);
  const py::gil_scoped_release without_gil;
  if (synthetic > 0) add_synthetic(samples, model, synthetic, seed);
  return samples;
}

py::tuple quantize_model(const LoadedModel& model, const py::object& data, const std::string& dtype,
                         const std::vector<std::string>& keep, std::optional<double> max_loss, int synthetic,
                         std::uint64_t seed, bool equalize, bool correct_bias, bool sensitivity,
                         const std::optional<AnyThreads>& threads,
                         const std::function<void(std::size_t, std::size_t, const std::string&)>& progress) {
  const auto wanted = parse_network_dtype("quantize", dtype);
  check(wanted != DType::kF32, "[quantize] dtype expects \"i8\", \"f16\", \"bf16\" or \"auto\", found \"f32\"");
  const CalibrationData samples = calibration_data(model.model(), data, synthetic, seed);
  std::unique_ptr<LoadedModel> made;
  const Quantization found = [&] {
    const py::gil_scoped_release without_gil;
    Quantization result = quantize(model.model(), samples,
                                   {wanted, keep, max_loss, equalize, correct_bias, sensitivity,
                                    threads_of("quantize", threads, model.pool()), progress});
    const bool halves = wanted == DType::kF16 || wanted == DType::kBF16;
    made = std::make_unique<LoadedModel>(result.model, model.device(), model.pool(), halves ? dtype : "auto");
    return result;
  }();
  warn("quantize", found.warnings);
  return py::make_tuple(std::move(made), report_of(found));
}

constexpr const char* kQuantizeDoc =
    R"(A model that computes in i8, by looking at data like what it will see: (model, report).

model: in float32. data: of networks with a profile scans, float32 [N, C] as Model.segment and Detector.detect take them; of
networks on video clips, uint8 [T, H, W, 3] of the model's size; of any network what Model.run takes: a SparseTensor,
(points, row_splits), frames float32, or a dict of them by the inputs' names. synthetic: so many simulated scans or clips more,
from `seed` on. Some ten to fifty samples do.

Weights are symmetric per output channel, values per channel, products sum int32; batch norm is folded, ranges of neighbouring
channels are evened out (Nagel et al., ICCV 2019: equalize), scales have the least squared error over the data, and the mean
error is taken off each bias (correct_bias). Inputs, outputs and the products that read an input stay float32. keep: names of
products that do, too. max_loss: points of 100 labels that may be others than float32's; products that cost most per millisecond
stay float32 until it holds. dtype: "i8"; "f16" or "bf16" give the model as it is, running so; "auto": i8 with a max_loss of half a
point unless given. sensitivity: measure each product alone. threads: the model's unless given. progress: called with (runs done,
runs in all, what for).

report: {snr: of the outputs against float32, dB; loss: points of labels, of detectors of boxes, that are others, percent; stored:
what a file stores floats as, "f32" or "f16"; layers: [{name, kind, dtype, reason: why it is no i8, macs, weight_bytes, snr: with
this product alone in i8, dB, milliseconds, saved_milliseconds}]}; what was not measured is NaN. The result does not depend on
the threads. Model.save writes the file.

Raises ValueError for a model that has i8 already, no data, data that the network does not take, and names in keep that no
product has.)";

}  // namespace

void bind_quantize(py::module_& m) {
  m.def("quantize", &quantize_model, "model"_a, "data"_a = py::none(), "dtype"_a = "i8", "keep"_a = py::tuple(),
        "max_loss"_a = py::none(), "synthetic"_a = 0, "seed"_a = 1, "equalize"_a = true, "correct_bias"_a = true,
        "sensitivity"_a = false, "threads"_a = py::none(), "progress"_a = py::none(), kQuantizeDoc);
}

}  // namespace voxshift::python
