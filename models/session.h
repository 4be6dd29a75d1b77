// The executor: runs one model again and again, in memory that it keeps.
#pragma once

#include <voxshift/models/model.h>
#include <voxshift/models/prepare_points.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// One step of a run.
struct LayerReport {
  std::string name;  ///< node that gives the weights
  std::string kind;  ///< "conv 3x3x3", "conv_transpose 2x2x2 / 2", "linear", "affine", "mean", "interpolate" ..
  std::int64_t rows = 0, in_channels = 0, out_channels = 0;
  std::int64_t pairs = 0;  ///< of the kernel map; rows for linear
  std::int64_t macs = 0;
  double seconds = 0;
};

/// Cost of the last run; of a cloud that was cut into blocks, the sum of theirs.
struct RunReport {
  std::int64_t points = 0, dropped_points = 0, macs = 0;
  std::int64_t voxels = 0;      ///< rows of the network's input: voxels, or points of all blocks
  double voxelize_seconds = 0;  ///< voxels or blocks of the points
  double maps_seconds = 0, network_seconds = 0;
  std::vector<LayerReport> layers;
  std::vector<std::string> notes;  ///< what was guessed of the points, a line each

  /// Adds rows, MACs and times of another run of the same network.
  void add(const RunReport& other);
};

struct Segmentation {
  Array labels;  ///< u8 [N]: train id per point, kUnlabelled for a dropped one
  Array scores;  ///< f32 [N, classes]: softmax of the logits, 0 for a dropped point; empty unless asked for
};

/// One user of a model: owns packed weights, arenas and the report of the last run. Not for several threads at once;
/// make one session per thread, they share nothing but the model. After the largest scan has been seen nothing but
/// results is allocated.
class Session {
 public:
  /// threads: a number, 0 for num_threads(), or a pool to share. dtype of features and weights: none is f32 on the CPU,
  /// f16 (summed in f32) on CUDA. Throws BackendUnavailable for a device this build has not, or a dtype that the device
  /// has not: f16 on the CPU.
  explicit Session(const Model& model, Device device = Device::cpu(), const Threads& threads = {},
                   std::optional<DType> dtype = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Logits f32 [rows of the network's output, classes]; for segmentation networks the rows of x. Throws
  /// InvalidArgument when x has other channels or dimensions than the model's input, or lies on another device.
  Array forward(const SparseTensor& x);

  /// The same for a network that takes points: logits f32 [N, classes] of points f32 [N, C], C the model's input
  /// channels.
  Array forward(const PointSet& points);

  /// A label per point, on the session's device. points f32 [N, C], C >= 3; of columns that the profile wants and
  /// points have not, the fourth is taken for 0. Points on the CPU are prepared as `options` say (prepare_points.h),
  /// and report().notes says what was guessed; those on a CUDA device are taken as they are. Throws InvalidArgument for
  /// other shapes, and where points on a device span more than a key's bits, or 2^31 blocks.
  Segmentation segment(const Array& points, bool with_scores = false, const PrepareOptions& options = {});

  /// Whether runs wait for every step to report its time, and count pairs and MACs: on the CPU at first yes, on CUDA,
  /// where waiting costs time, no.
  void report_layers(bool wanted);

  const RunReport& report() const;
  const Model& model() const;
  Device device() const;
  DType dtype() const;
  int threads() const;

  /// Bytes that the session holds: packed weights, maps, features.
  std::size_t bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
