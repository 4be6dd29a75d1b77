// A model with what runs it: a segmenter, or the network that streams share.
#pragma once

#include <voxshift/tasks/segmenter.h>
#include <voxshift/tasks/video_network.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace voxshift::python {

/// What a network's only input is given.
using Operand = std::variant<Array, SparseTensor>;

/// By the inputs' names; points also with their row_splits.
using Operands = std::map<std::string, std::variant<Array, SparseTensor, std::pair<Array, Array>>>;

/// The same as a session takes them, on the device.
Inputs inputs_of(const Graph& graph, const Operands& operands, Device device);

/// Python threads that run one model take turns; all members that run or read it must be called without
/// the GIL, which the thread that holds the mutex may need.
class LoadedModel {
 public:
  /// dtype: as parse_network_dtype takes it. Throws InvalidArgument for other dtypes, BackendUnavailable.
  LoadedModel(const Model& model, Device device, const Threads& threads, const std::string& dtype = "auto");

  const Model& model() const { return model_; }
  Device device() const { return device_; }
  const std::shared_ptr<ThreadPool>& pool() const { return pool_; }
  DType dtype() const;

  // Operands go to the model's device, results to where the operands came from: a SparseTensor, points, or frames f32
  // [T, H, W, C]. segment() throws InvalidArgument for a model for video.
  Array forward(const Operand& x, const std::optional<Array>& row_splits);
  Outputs run(const Operand& x, const std::optional<Array>& row_splits);
  Outputs run(const Operands& inputs);
  std::pair<Segmentation, std::vector<std::string>> segment(const Array& points, bool scores,
                                                            const PrepareOptions& options);  ///< and the notes
  SegmentReport report();

  /// Throws InvalidArgument, which names `op`, for a model that is not for video.
  const VideoNetwork& video_network(const char* op) const;

 private:
  Segmenter& segmenter(const char* op);
  Session& session();

  // call(session, x) with x on the model's device.
  template <class Call>
  auto on_device(const char* op, const Operand& x, const std::optional<Array>& row_splits, const Call& call);

  Model model_;
  Device device_;
  std::shared_ptr<ThreadPool> pool_;
  std::variant<Session, Segmenter, VideoNetwork> runner_;  // a session: of frames without classes, several inputs
  std::optional<Session> frames_;                          // of a VideoNetwork whose network is run by itself
  SegmentReport report_;                                   // of the last run
  std::mutex mutex_;
};

}  // namespace voxshift::python
