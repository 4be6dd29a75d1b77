// Sessions: points to labels and boxes, and any network.
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/segmenter.h>

#include <chrono>
#include <optional>
#include <span>
#include <variant>

#include "objects.h"
#include "parts.h"

namespace voxshift::c_api {

const bool kHasPoints = true;

namespace {

using Clock = std::chrono::steady_clock;

using Runner = std::variant<Session, Segmenter, Detector>;

struct OpenSession {
  using Handle = voxshift_session;
  static constexpr std::uintptr_t kKind = 2;
  static constexpr const char* kName = "session";

  OpenSession(std::shared_ptr<OpenModel> open, Runner made) : model(std::move(open)), runner(std::move(made)) {}

  std::shared_ptr<OpenModel> model;
  Runner runner;
  std::atomic<bool> taken = false;
  Detections boxes = {};  ///< of the last detect
  Outputs outputs = {};   ///< of the last run
  double seconds = 0;

  Session& session() {
    if (auto* const segmenter = std::get_if<Segmenter>(&runner)) return segmenter->session();
    if (auto* const detector = std::get_if<Detector>(&runner)) return detector->session();
    return std::get<Session>(runner);
  }
};

using Sessions = HandleTable<OpenSession>;

Runner runner_of(const Model& model, const voxshift_session_options& options) {
  const Device device = device_of(options.device, options.device_index);
  const std::optional<DType> dtype = network_dtype_of(options.dtype);
  const bool on_points = model.has_profile() && model.graph().inputs.size() == 1 &&
                         model.graph().input().kind != InputKind::kFrames && !model.classes().empty();
  if (on_points && model.detection()) return Detector(model, device, options.threads, dtype);
  if (on_points) return Segmenter(model, device, options.threads, dtype);
  return Session(model.network(), device, options.threads, dtype);
}

/// A caller's memory, which nothing writes to and which is not kept.
Array array_over(const void* memory, Shape shape, DType dtype) {
  return {const_cast<void*>(memory), std::move(shape), dtype, Device::cpu(), nullptr};
}

Array points_of(const float* points, std::int64_t count, std::int32_t columns) {
  constexpr std::int32_t kMostColumns = 1024;
  check(count >= 0, "count expects a number of points, found ", count);
  check(columns >= 3 && columns <= kMostColumns, "columns expects 3 to ", kMostColumns, ", found ", columns);
  check(points != nullptr || count == 0, "points is null");
  return array_over(points, {count, columns}, DType::kF32);
}

/// Tells the session how long `body` took.
template <class Body>
void timed(OpenSession& session, const Body& body) {
  const Clock::time_point start = Clock::now();
  body();
  session.seconds = std::chrono::duration<double>(Clock::now() - start).count();
}

Array input_array(const voxshift_array& array, voxshift_dtype wanted, DType dtype, const std::string& what) {
  check(array.dtype == wanted, what, ".dtype expects ", name(dtype), ", found number ", array.dtype);
  check(array.rank >= 0 && array.rank <= VOXSHIFT_MAX_RANK, what, ".rank expects 0 to ", VOXSHIFT_MAX_RANK, ", found ",
        array.rank);
  const Shape shape(array.shape, array.shape + array.rank);
  check(array.data != nullptr || count_of(shape) == 0, what, ".data is null");
  return array_over(array.data, shape, dtype);
}

SparseTensor voxels(const Graph& graph, const voxshift_input& input, const Array& features, const std::string& what) {
  SparseTensor::Options options;
  if (input.extent.data != nullptr) {
    const Array extent = input_array(input.extent, VOXSHIFT_I32, DType::kI32, what + ".extent");
    check(extent.count() == graph.dims, what, ".extent expects ", graph.dims, " numbers, found ", extent.count());
    options.shape.emplace(SparseTensor::Extents{1, 1, 1, 1});
    std::copy_n(extent.data<std::int32_t>(), extent.count(), options.shape->begin());
  }
  return {input_array(input.coords, VOXSHIFT_I32, DType::kI32, what + ".coords"), features, options};
}

Input input_of(const Graph& graph, const voxshift_input& given, Device device) {
  const std::string what = std::string("input \"") + given.name + "\"";
  const auto known = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                                  [&](const GraphInput& input) { return input.name == given.name; });
  check(known != graph.inputs.end(), "the network has no ", what);
  const Array features = input_array(given.features, VOXSHIFT_F32, DType::kF32, what + ".features");
  const bool own_rows = known->rows_of.empty();
  if (known->kind == InputKind::kVoxels && own_rows) return voxels(graph, given, features, what).to(device);
  if (known->kind != InputKind::kPoints || !own_rows) return features.to(device);
  PointSet set{features.to(device), {}};
  if (given.splits.data != nullptr)
    set.row_splits = input_array(given.splits, VOXSHIFT_I64, DType::kI64, what + ".splits");
  return set;
}

/// The inputs of a caller, which lie one after the other, each of the size that the first one tells.
Inputs inputs_of(const Graph& graph, const voxshift_input* inputs, std::int32_t count, Device device) {
  check(inputs != nullptr && count >= 1, "inputs expects at least one input");
  const std::size_t stride = size_of_callers(*inputs, "inputs");
  Inputs all;
  for (std::int32_t i = 0; i < count; ++i) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(inputs) + static_cast<std::size_t>(i) * stride;
    const voxshift_input input = taken(reinterpret_cast<const voxshift_input*>(bytes), "inputs");
    check(input.size == stride, "inputs have different sizes, ", stride, " and ", input.size);
    check(input.name != nullptr, "the name of input ", i, " is null");
    check(all.emplace(input.name, input_of(graph, input, device)).second, "input \"", input.name, "\" is given twice");
  }
  return all;
}

Outputs on_the_cpu(Outputs outputs) {
  for (auto& [name, output] : outputs) {
    output.features = output.features.to(Device::cpu());
    output.coords = output.coords.to(Device::cpu());
  }
  return outputs;
}

}  // namespace
}  // namespace voxshift::c_api

using namespace voxshift;
using namespace voxshift::c_api;

voxshift_status voxshift_session_open(voxshift_model model, const voxshift_session_options* options,
                                      voxshift_session* session) {
  return call(__func__, [&] {
    check(session != nullptr, "session is null");
    const voxshift_session_options wanted =
        options != nullptr ? taken(options, "options") : voxshift_session_options VOXSHIFT_SESSION_OPTIONS_INIT;
    std::shared_ptr<OpenModel> open = Models::instance().get(model);
    Runner runner = runner_of(open->model, wanted);
    *session = Sessions::instance().add(std::make_shared<OpenSession>(std::move(open), std::move(runner)));
  });
}

voxshift_status voxshift_session_segment(voxshift_session session, const float* points, int64_t count, int32_t columns,
                                         uint8_t* labels, float* scores) {
  return in_turn<OpenSession>(__func__, session, [&](OpenSession& open) {
    auto* const segmenter = std::get_if<Segmenter>(&open.runner);
    check(segmenter != nullptr, "the model does not label points");
    const Array cloud = points_of(points, count, columns);
    check(labels != nullptr || count == 0, "labels is null");
    timed(open, [&] {
      const Segmentation result = segmenter->segment(cloud.to(segmenter->session().device()), scores != nullptr);
      const Runtime& memory = runtime(result.labels.device());
      memory.copy_to_host(result.labels.device(), labels, result.labels.memory(), result.labels.bytes());
      if (scores != nullptr)
        memory.copy_to_host(result.scores.device(), scores, result.scores.memory(), result.scores.bytes());
    });
    for (const std::string& note : segmenter->report().notes) log(note);
  });
}

voxshift_status voxshift_session_detect(voxshift_session session, const float* points, int64_t count, int32_t columns,
                                        voxshift_boxes* boxes) {
  return in_turn<OpenSession>(__func__, session, [&](OpenSession& open) {
    auto* const detector = std::get_if<Detector>(&open.runner);
    check(detector != nullptr, "the model does not find boxes");
    check_result(boxes, "boxes");
    const Array cloud = points_of(points, count, columns);
    timed(open, [&] {
      const Detections found = detector->detect(cloud);
      open.boxes = {found.boxes.to(Device::cpu()), found.scores.to(Device::cpu()), found.classes.to(Device::cpu())};
    });
    voxshift_boxes given = VOXSHIFT_BOXES_INIT;
    given.columns = detector->has_velocity() ? 9 : 7;
    given.count = open.boxes.scores.count();
    given.boxes = open.boxes.boxes.data<float>();
    given.scores = open.boxes.scores.data<float>();
    given.classes = open.boxes.classes.data<std::int32_t>();
    give(boxes, given);
    for (const std::string& note : detector->report().notes) log(note);
  });
}

voxshift_status voxshift_session_run(voxshift_session session, const voxshift_input* inputs, int32_t count) {
  return in_turn<OpenSession>(__func__, session, [&](OpenSession& open) {
    Session& network = open.session();
    const Inputs all = inputs_of(network.graph(), inputs, count, network.device());
    timed(open, [&] { open.outputs = on_the_cpu(network.run(all)); });
  });
}

voxshift_status voxshift_session_output(voxshift_session session, const char* name, voxshift_array* features,
                                        voxshift_array* coords) {
  return in_turn<OpenSession>(__func__, session, [&](OpenSession& open) {
    check(name != nullptr, "name is null");
    check(features != nullptr, "features is null");
    const auto found = open.outputs.find(name);
    check(found != open.outputs.end(), "the last run gave no output \"", name, "\"");
    *features = array_of(found->second.features);
    if (coords == nullptr) return;
    const Array& rows = found->second.coords;
    *coords = rows.rank() == 2 ? array_of(rows) : voxshift_array VOXSHIFT_ARRAY_INIT;
  });
}

voxshift_status voxshift_session_get_report(voxshift_session session, voxshift_report* report) {
  return in_turn<OpenSession>(__func__, session, [&](OpenSession& open) {
    check_result(report, "report");
    voxshift_report given = VOXSHIFT_REPORT_INIT;
    if (const auto* const segmenter = std::get_if<Segmenter>(&open.runner)) {
      given.points = segmenter->report().points;
      given.dropped_points = segmenter->report().dropped_points;
    } else if (const auto* const detector = std::get_if<Detector>(&open.runner)) {
      given.points = detector->report().points;
      given.dropped_points = detector->report().dropped_points;
    }
    given.macs = open.session().report().macs;
    given.bytes = static_cast<std::int64_t>(open.session().bytes());
    given.seconds = open.seconds;
    give(report, given);
  });
}

voxshift_status voxshift_session_close(voxshift_session session) {
  return call(__func__, [&] { Sessions::instance().close(session); });
}
