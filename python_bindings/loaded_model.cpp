#include "loaded_model.h"

#include <voxshift/engine/network_dtype.h>

#include "options.h"

namespace voxshift::python {
namespace {

std::variant<Segmenter, VideoNetwork> runner_of(const Model& model, Device device, const Threads& threads,
                                                std::optional<DType> dtype) {
  if (model.profile().frames) return VideoNetwork(model, device, dtype);
  return Segmenter(model, device, threads, dtype);
}

}  // namespace

LoadedModel::LoadedModel(const Model& model, Device device, const Threads& threads, const std::string& dtype)
    : model_(model),
      device_(device),
      pool_(threads.pool()),
      runner_(runner_of(model, device, pool_, parse_network_dtype("Model", dtype))) {}

DType LoadedModel::dtype() const {
  const Segmenter* const segmenter = std::get_if<Segmenter>(&runner_);
  return segmenter != nullptr ? segmenter->session().dtype() : std::get<VideoNetwork>(runner_).dtype();
}

Segmenter& LoadedModel::segmenter(const char* op) {
  Segmenter* const found = std::get_if<Segmenter>(&runner_);
  check(found != nullptr, "[", op, "] expects a model for points or voxels, found \"", model_.arch(),
        "\", which takes video: use VideoStream or Model.recognize");
  return *found;
}

const VideoNetwork& LoadedModel::video_network(const char* op) const {
  const VideoNetwork* const network = std::get_if<VideoNetwork>(&runner_);
  check(network != nullptr, "[", op, "] expects a model for video, found \"", model_.arch(), "\"");
  return *network;
}

Array LoadedModel::forward(const std::variant<Array, SparseTensor>& x, const std::optional<Array>& row_splits) {
  const std::lock_guard lock(mutex_);
  if (const Array* points = std::get_if<Array>(&x))
    return segmenter("forward").session().forward(point_set(points->to(device_), row_splits)).to(points->device());
  check(!row_splits, "[forward] row_splits belong to points; a SparseTensor has its batches in its coordinates");
  const auto& tensor = std::get<SparseTensor>(x);
  return segmenter("forward").session().forward(tensor.to(device_)).to(tensor.device());
}

std::pair<Segmentation, std::vector<std::string>> LoadedModel::segment(const Array& points, bool scores,
                                                                       const PrepareOptions& options) {
  const std::lock_guard lock(mutex_);
  const bool on_cpu = points.device() == Device::cpu();  // where the segmenter prepares them
  const Segmentation result = segmenter("segment").segment(on_cpu ? points : points.to(device_), scores, options);
  return {{result.labels.to(points.device()), result.scores.to(points.device())}, segmenter("segment").report().notes};
}

SegmentReport LoadedModel::report() {
  const std::lock_guard lock(mutex_);
  return segmenter("report").report();
}

}  // namespace voxshift::python
