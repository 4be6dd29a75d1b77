// Recognizer: frames one by one. Calibration of what it may leave out; smoothed labels.
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <voxshift/tasks/calibrate_skip.h>
#include <voxshift/tasks/label_smoother.h>
#include <voxshift/tasks/recognizer.h>

#include <algorithm>
#include <memory>
#include <variant>

#include "arrays.h"
#include "bindings.h"
#include "guarded.h"
#include "loaded_model.h"
#include "pickling.h"
#include "threads.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using Stream = Guarded<Recognizer>;
using Smoother = Guarded<LabelSmoother>;
using SkipMode = std::variant<std::string, float>;

/// A FrameResult that outlives the next frame.
struct KeptResult {
  int label;
  std::string name;
  Array logits, scores;
  FrameCost cost;
};

void set_skip(StreamOptions& options, const SkipMode& skip) {
  if (const float* threshold = std::get_if<float>(&skip)) {
    options.skip = Skip::kThreshold;
    options.threshold = *threshold;
    return;
  }
  const std::string& word = std::get<std::string>(skip);
  check(word == "off" || word == "exact" || word == "auto",
        "[Recognizer] skip expects \"off\", \"exact\", \"auto\" or a threshold, found \"", word, "\"");
  options.skip = word == "off" ? Skip::kOff : word == "exact" ? Skip::kExact : Skip::kAuto;
}

std::unique_ptr<Stream> make_stream(const LoadedModel& model, const SkipMode& skip, bool whole_frames,
                                    std::int64_t key_frame_interval, const std::optional<AnyThreads>& threads,
                                    bool always_compare) {
  StreamOptions options;
  set_skip(options, skip);
  options.whole_frames = whole_frames;
  options.always_compare = always_compare;
  options.key_frame_interval = key_frame_interval;
  options.threads = threads_of("Recognizer", threads, model.pool()->threads());
  return std::make_unique<Stream>(Recognizer(model.video_network("Recognizer"), options));
}

Array copy_of(std::span<const float> values) { return Array::from(values, {static_cast<std::int64_t>(values.size())}); }

KeptResult push(Stream& stream, const Array& frame) {
  return stream.use([&](Recognizer& s) {
    const FrameResult result = s.push(frame);
    const auto& classes = s.network().model().classes();
    return KeptResult{result.label, classes.at(static_cast<std::size_t>(result.label)).name, copy_of(result.logits),
                      copy_of(result.scores), result.cost};
  });
}

// bool [height, width]; all false before the first frame.
py::object changed_pixels(Stream& stream) {
  Array mask;
  {
    const py::gil_scoped_release without_gil;
    mask = stream.use([](Recognizer& s) {
      const FrameProfile& frames = *s.network().model().profile().frames;
      Array copy({frames.height, frames.width}, DType::kU8);
      std::fill_n(copy.data<std::uint8_t>(), copy.count(), std::uint8_t{0});
      std::ranges::copy(s.changed_pixels(), copy.data<std::uint8_t>());
      return copy;
    });
  }
  return array_to(mask).attr("view")("bool");
}

template <class Get>
auto read(Stream& stream, const Get& get) {
  const py::gil_scoped_release without_gil;
  return stream.use(get);
}

py::list layers(const LoadedModel& model) {
  py::list list;
  for (const FrameLayer& layer : model.video_network("video_layers").layers())
    list.append(py::dict("name"_a = layer.name, "kind"_a = layer.kind, "height"_a = layer.out.height,
                         "width"_a = layer.out.width, "in_channels"_a = layer.in_channels,
                         "out_channels"_a = layer.out_channels, "macs"_a = layer.macs, "shifted"_a = layer.shifted));
  return list;
}

py::object skip_thresholds(const LoadedModel& model) {
  const std::optional<SkipThresholds>& thresholds = model.model().skip_thresholds();
  if (!thresholds) return py::none();
  return py::dict("frame"_a = thresholds->frame, "layers"_a = thresholds->layers,
                  "whole_frame"_a = thresholds->whole_frame);
}

py::tuple calibrate(const LoadedModel& model, const std::vector<Array>& clips, double budget,
                    const std::function<void(std::size_t, std::size_t)>& progress) {
  std::unique_ptr<LoadedModel> calibrated;
  const SkipCalibration found = [&] {
    const py::gil_scoped_release without_gil;
    SkipCalibration calibration =
        calibrate_skip(model.video_network("calibrate_skip"), clips, budget, model.pool()->threads(), progress);
    calibrated = std::make_unique<LoadedModel>(model.model().with_skip_thresholds(calibration.thresholds),
                                               model.device(), model.pool()->threads(), name(model.dtype()));
    return calibration;
  }();
  return py::make_tuple(std::move(calibrated),
                        py::dict("logit_change"_a = found.logit_change, "mac_fraction"_a = found.mac_fraction));
}

constexpr const char* kStreamDoc = R"(Recognises frames as they come, with a model for video.

It keeps its memory from frame to frame; streams of one model share its weights and nothing else. Threads that use one
stream take turns.

model: with the online shift. skip: what may be left out, "off": nothing; "exact": what did not change at all, the same
bits; a number: what changed by at most that, at the normalised frame and at every layer; "auto": by the thresholds of
calibrate_skip, and whole frames unless whole_frames is false. Where looking for changes costs more than it saves, frames
are dense and it is tried again at intervals, unless always_compare. key_frame_interval: every so many processed frames
one is dense, 0 for only where needed. threads: as many as the model's unless given, or a ThreadPool to share.

Raises ValueError for a model that is not for video, has the offline shift or, for "auto", no thresholds, for a threshold
that is negative or not finite and for a negative interval.)";

constexpr const char* kPushDoc = R"(The FrameResult of the next frame: uint8 [H, W, 3], RGB, of the model's size.

A change of more than 40 grey levels on average is a cut of the camera, whose frame is dense. Raises ValueError for
another shape or dtype and leaves the stream as it was.)";

constexpr const char* kLayerOutputDoc = R"(A copy of what a layer of Model.video_layers keeps: float32 [H, W, C].

Raises ValueError for an unknown layer and where layers share memory: with skip "off", and after a frame that was dense
because looking for changes does not pay.)";

constexpr const char* kCalibrateDoc =
    R"(Finds what a stream may leave out: (a model with skip_thresholds, what it costs).

clips: list of uint8 [T, H, W, 3] of the model's size. budget: relative L2 change of the logits over all frames of all
clips that may be lost. progress: called with (thresholds found so far, their number). The second result is
{logit_change, mac_fraction}, of these clips. Raises ValueError for no clips, another size, a budget that is not above
0.)";

void bind_results(py::module_& m) {
  py::class_<FrameCost> cost(m, "FrameCost", "What one frame cost.");
  cost.def_readonly("skipped", &FrameCost::skipped, "Whether the whole frame was; its result is the last one's.")
      .def_readonly("key_frame", &FrameCost::key_frame, "Dense: the first frame, after a cut, or by the interval.")
      .def_readonly("dense", &FrameCost::dense,
                    "All pixels were computed: key frames, and where looking for changes does not pay.")
      .def_readonly("macs", &FrameCost::macs, "Multiply-adds.")
      .def_readonly("dense_macs", &FrameCost::dense_macs, "Multiply-adds of a dense frame.")
      .def_property_readonly("mac_fraction", &FrameCost::mac_fraction, "macs / dense_macs.")
      .def_readonly("changed_pixels", &FrameCost::changed_pixels, "Pixels of the frame that were taken as changed.")
      .def_readonly("seconds", &FrameCost::seconds, "Wall time.")
      .def("__repr__", [](const FrameCost& c) {
        return py::str(
                   "FrameCost(skipped={}, key_frame={}, dense={}, mac_fraction={:.3f}, changed_pixels={}, "
                   "seconds={:.6f})")
            .format(c.skipped, c.key_frame, c.dense, c.mac_fraction(), c.changed_pixels, c.seconds);
      });
  pickle_by_fields(cost, &FrameCost::skipped, &FrameCost::key_frame, &FrameCost::dense, &FrameCost::macs,
                   &FrameCost::dense_macs, &FrameCost::changed_pixels, &FrameCost::seconds);
  py::class_<KeptResult> result(m, "FrameResult", "What a stream says of a frame.");
  result.def_readonly("label", &KeptResult::label, "The lowest class of the highest logit.")
      .def_readonly("name", &KeptResult::name, "Its name, of Model.classes.")
      .def_readonly("logits", &KeptResult::logits, "float32 [classes].")
      .def_readonly("scores", &KeptResult::scores, "float32 [classes]: the softmax of the logits.")
      .def_readonly("cost", &KeptResult::cost, "FrameCost.")
      .def("__repr__", [](const KeptResult& r) {
        return py::str("FrameResult(label={}, name={!r}, cost={!r})").format(r.label, r.name, r.cost);
      });
  pickle_by_fields(result, &KeptResult::label, &KeptResult::name, &KeptResult::logits, &KeptResult::scores,
                   &KeptResult::cost);
}

void bind_stream(py::module_& m) {
  py::class_<Stream> type(m, "Recognizer", kStreamDoc);
  refuse_pickling(type, kInAStream);
  type.def(py::init(&make_stream), "model"_a, "skip"_a = "off", "whole_frames"_a = true, "key_frame_interval"_a = 0,
           "threads"_a = py::none(), "always_compare"_a = false, WithoutGil())
      .def("push", &push, "frame"_a, WithoutGil(), kPushDoc)
      .def(
          "reset", [](Stream& stream) { stream.use([](Recognizer& s) { s.reset(); }); }, WithoutGil(),
          "Forgets all frames, as if newly made.")
      .def(
          "layer_output",
          [](Stream& stream, const std::string& layer) {
            return stream.use([&](Recognizer& s) {
              const Array output = s.layer_output(layer).to(Device::cpu());
              return Array::from(output.values<float>(), output.shape());
            });
          },
          "layer"_a, WithoutGil(), kLayerOutputDoc)
      .def_property_readonly(
          "cost", [](Stream& stream) { return read(stream, [](Recognizer& s) { return s.cost(); }); },
          "FrameCost of the last frame.")
      .def_property_readonly("changed_pixels", &changed_pixels,
                             "bool [H, W]: the pixels of the last frame that were taken as changed.")
      .def_property_readonly(
          "state_bytes", [](Stream& stream) { return read(stream, [](Recognizer& s) { return s.state_bytes(); }); },
          "Bytes that frames leave for the next: kept values, caches of the shift, the last frame.")
      .def_property_readonly(
          "threads", [](Stream& stream) { return read(stream, [](Recognizer& s) { return s.threads(); }); },
          "Threads of the CPU that a frame uses.");
}

}  // namespace

void bind_recognizer(py::module_& m) {
  bind_results(m);
  bind_stream(m);
  auto model = py::reinterpret_borrow<py::class_<LoadedModel>>(m.attr("Model"));
  model
      .def(
          "recognize",
          [](const LoadedModel& self, const Array& frames) {
            return recognize_clip(self.video_network("recognize"), frames, self.pool()->threads());
          },
          "frames"_a, WithoutGil(),
          "Logits float32 [classes] of a clip, the mean of its frames': frames uint8 [T, H, W, 3], RGB, of the\n"
          "model's size. Raises ValueError for another shape or dtype and for a model that is not for video.")
      .def(
          "recognize_frames",
          [](const LoadedModel& self, const Array& frames) {
            return recognize_frames(self.video_network("recognize_frames"), frames, self.pool()->threads());
          },
          "frames"_a, WithoutGil(), "Logits float32 [T, classes] of every frame of a clip; arguments as of recognize.")
      .def_property_readonly("skip_thresholds", &skip_thresholds,
                             "Of calibrate_skip: {frame, layers: {name: threshold}, whole_frame}, or None.")
      .def_property_readonly("video_layers", &layers,
                             "Steps of a model for video: [{name, kind, height, width, in_channels, out_channels, "
                             "macs, shifted}].\nRaises ValueError for another model.");
  m.def("calibrate_skip", &calibrate, "model"_a, "clips"_a, "budget"_a = 0.01, "progress"_a = py::none(),
        kCalibrateDoc);
  py::class_<Smoother> type(
      m, "LabelSmoother",
      "Steadies labels: the class with the highest sum of the last logits, once two frames in a row\n"
      "agree on it; the first frame decides alone (after TSM's online demo). window: frames that are\n"
      "summed. Raises ValueError for less than 1.");
  refuse_pickling(type, kInAStream);
  type.def(py::init([](int window) { return std::make_unique<Smoother>(LabelSmoother(window)); }), "window"_a = 12)
      .def(
          "push",
          [](Smoother& smoother, const Array& logits) {
            check(logits.rank() == 1, "[LabelSmoother] expected logits float32 [classes], found ", logits.shape());
            return smoother.use(
                [&](LabelSmoother& s) { return s.push(on_cpu("LabelSmoother", logits).values<float>()); });
          },
          "logits"_a, WithoutGil(), "The label after one more frame: logits float32 [classes]. Raises ValueError.")
      .def(
          "reset", [](Smoother& smoother) { smoother.use([](LabelSmoother& s) { s.reset(); }); }, WithoutGil(),
          "Forgets all frames.");
}

}  // namespace voxshift::python
