#include "loaded_model.h"

#include <voxshift/models/network_dtype.h>

#include "options.h"

namespace voxshift::python {
namespace {

std::variant<Session, VideoNetwork> runner_of(const Model& model, Device device, const Threads& threads,
                                              std::optional<DType> dtype) {
  if (model.profile().frames) return VideoNetwork(model, device, dtype);
  return Session(model, device, threads, dtype);
}

}  // namespace

LoadedModel::LoadedModel(const Model& model, Device device, const Threads& threads, const std::string& dtype)
    : model_(model),
      device_(device),
      pool_(threads.pool()),
      runner_(runner_of(model, device, pool_, parse_network_dtype("Model", dtype))) {}

DType LoadedModel::dtype() const {
  return std::visit([](const auto& runner) { return runner.dtype(); }, runner_);
}

Session& LoadedModel::session(const char* op) {
  Session* const session = std::get_if<Session>(&runner_);
  check(session != nullptr, "[", op, "] expects a model for points or voxels, found \"", model_.arch(),
        "\", which takes video: use VideoStream or Model.recognize");
  return *session;
}

const VideoNetwork& LoadedModel::video_network(const char* op) const {
  const VideoNetwork* const network = std::get_if<VideoNetwork>(&runner_);
  check(network != nullptr, "[", op, "] expects a model for video, found \"", model_.arch(), "\"");
  return *network;
}

Array LoadedModel::forward(const std::variant<Array, SparseTensor>& x, const std::optional<Array>& row_splits) {
  const std::lock_guard lock(mutex_);
  if (const Array* points = std::get_if<Array>(&x))
    return session("forward").forward(point_set(points->to(device_), row_splits)).to(points->device());
  check(!row_splits, "[forward] row_splits belong to points; a SparseTensor has its batches in its coordinates");
  const auto& tensor = std::get<SparseTensor>(x);
  return session("forward").forward(tensor.to(device_)).to(tensor.device());
}

std::pair<Segmentation, std::vector<std::string>> LoadedModel::segment(const Array& points, bool scores,
                                                                       const PrepareOptions& options) {
  const std::lock_guard lock(mutex_);
  const bool on_cpu = points.device() == Device::cpu();  // where the session prepares them
  const Segmentation result = session("segment").segment(on_cpu ? points : points.to(device_), scores, options);
  return {{result.labels.to(points.device()), result.scores.to(points.device())}, session("segment").report().notes};
}

RunReport LoadedModel::report() {
  const std::lock_guard lock(mutex_);
  return session("report").report();
}

}  // namespace voxshift::python
