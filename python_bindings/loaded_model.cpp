#include "loaded_model.h"

#include <voxshift/engine/network_dtype.h>

#include <algorithm>

#include "options.h"

namespace voxshift::python {
namespace {

std::variant<Session, Segmenter, VideoNetwork> runner_of(const Model& model, Device device, const Threads& threads,
                                                         std::optional<DType> dtype) {
  const std::vector<GraphInput>& inputs = model.graph().inputs;
  const bool on_frames = inputs.front().kind == InputKind::kFrames;
  if (inputs.size() == 1 && !on_frames) return Segmenter(model, device, threads, dtype);
  if (inputs.size() > 1 || model.classes().empty()) return Session(model.network(), device, threads, dtype);
  return VideoNetwork(model, device, dtype);
}

Outputs moved(Outputs outputs, Device to) {
  for (auto& [name, output] : outputs) output = {output.features.to(to), output.coords.to(to)};
  return outputs;
}

using Ragged = std::pair<Array, Array>;  // points and their row_splits

struct DeviceOf {
  Device operator()(const SparseTensor& x) const { return x.device(); }
  Device operator()(const Array& x) const { return x.device(); }
  Device operator()(const Ragged& x) const { return x.first.device(); }
};

// An operand as the input of this name takes it.
struct OnDevice {
  const std::string& name;
  const Graph& graph;
  Device device;

  Input operator()(const SparseTensor& x) const { return x.to(device); }
  Input operator()(const Ragged& x) const { return point_set(x.first.to(device), x.second); }
  Input operator()(const Array& x) const {
    const bool points = std::any_of(graph.inputs.begin(), graph.inputs.end(), [&](const GraphInput& input) {
      return input.name == name && input.kind == InputKind::kPoints && input.rows_of.empty();
    });
    return points ? Input(point_set(x.to(device), {})) : Input(x.to(device));
  }
};

}  // namespace

Inputs inputs_of(const Graph& graph, const Operands& operands, Device device) {
  Inputs inputs;
  for (const auto& [name, operand] : operands) inputs.emplace(name, std::visit(OnDevice{name, graph, device}, operand));
  return inputs;
}

LoadedModel::LoadedModel(const Model& model, Device device, const Threads& threads, const std::string& dtype)
    : model_(model),
      device_(device),
      pool_(threads.pool()),
      runner_(runner_of(model, device, pool_, parse_network_dtype("Model", dtype))) {}

DType LoadedModel::dtype() const {
  if (const auto* segmenter = std::get_if<Segmenter>(&runner_)) return segmenter->session().dtype();
  if (const auto* session = std::get_if<Session>(&runner_)) return session->dtype();
  return std::get<VideoNetwork>(runner_).dtype();
}

Session& LoadedModel::session() {
  if (auto* segmenter = std::get_if<Segmenter>(&runner_)) return segmenter->session();
  if (auto* session = std::get_if<Session>(&runner_)) return *session;
  if (!frames_) frames_.emplace(model_.network(), device_, pool_, dtype());
  return *frames_;
}

Segmenter& LoadedModel::segmenter(const char* op) {
  Segmenter* const found = std::get_if<Segmenter>(&runner_);
  check(model_.graph().inputs.size() == 1, "[", op, "] expects a model for points or voxels, found \"", model_.arch(),
        "\" with ", model_.graph().inputs.size(), " inputs, which Model.run takes");
  check(found != nullptr, "[", op, "] expects a model for points or voxels, found \"", model_.arch(),
        "\", which takes video: use Recognizer or Model.recognize");
  return *found;
}

const VideoNetwork& LoadedModel::video_network(const char* op) const {
  const VideoNetwork* const network = std::get_if<VideoNetwork>(&runner_);
  check(network != nullptr, "[", op, "] expects a model for video with classes, found \"", model_.arch(), "\"");
  return *network;
}

template <class Call>
auto LoadedModel::on_device(const char* op, const Operand& x, const std::optional<Array>& row_splits,
                            const Call& call) {
  const std::lock_guard lock(mutex_);
  Session& session = this->session();
  const Array* points = std::get_if<Array>(&x);
  check(points != nullptr || !row_splits, "[", op,
        "] row_splits belong to points; a SparseTensor has its batches in its coordinates");
  const bool on_frames = points != nullptr && model_.graph().inputs.front().kind == InputKind::kFrames;
  check(!on_frames || !row_splits, "[", op, "] row_splits belong to points, the model takes frames");
  auto result = on_frames           ? call(session, points->to(device_))
                : points != nullptr ? call(session, point_set(points->to(device_), row_splits))
                                    : call(session, std::get<SparseTensor>(x).to(device_));
  report_ = {session.report(), points != nullptr ? points->dim(0) : 0, 0, 0, {}};
  return result;
}

Array LoadedModel::forward(const Operand& x, const std::optional<Array>& row_splits) {
  const Device from = std::visit([](const auto& operand) { return operand.device(); }, x);
  return on_device("forward", x, row_splits, [](Session& s, const auto& operand) { return s.forward(operand); })
      .to(from);
}

Outputs LoadedModel::run(const Operand& x, const std::optional<Array>& row_splits) {
  const Device from = std::visit([](const auto& operand) { return operand.device(); }, x);
  return moved(on_device("run", x, row_splits, [](Session& s, const auto& operand) { return s.run(operand); }), from);
}

Outputs LoadedModel::run(const Operands& inputs) {
  const std::lock_guard lock(mutex_);
  Device from = Device::cpu();
  for (const auto& [name, operand] : inputs) from = std::visit(DeviceOf(), operand);
  Outputs outputs = moved(session().run(inputs_of(model_.graph(), inputs, device_)), from);
  report_ = {session().report(), 0, 0, 0, {}};
  return outputs;
}

std::pair<Segmentation, std::vector<std::string>> LoadedModel::segment(const Array& points, bool scores,
                                                                       const PrepareOptions& options) {
  const std::lock_guard lock(mutex_);
  Segmenter& runner = segmenter("segment");
  const bool on_cpu = points.device() == Device::cpu();  // where they are prepared
  const Segmentation result = runner.segment(on_cpu ? points : points.to(device_), scores, options);
  report_ = runner.report();
  return {{result.labels.to(points.device()), result.scores.to(points.device())}, report_.notes};
}

SegmentReport LoadedModel::report() {
  const std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace voxshift::python
