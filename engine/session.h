// A network ready to run, again and again, in memory that it keeps.
#pragma once

#include <voxshift/engine/report.h>
#include <voxshift/graph/network.h>
#include <voxshift/point_voxel/point_set.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace voxshift {

class Executor;

/// One output of a network.
struct Output {
  Array features;  ///< f32 [rows, channels], of images [images, height, width, channels]
  Array coords;    ///< of voxels int32 [rows, 1 + dims], batch first; of points f32 [rows, 3]; else empty
};

/// The outputs of a network by name.
using Outputs = std::map<std::string, Output>;

/// What an input is given: voxels a SparseTensor, points a PointSet f32 [N, C], frames an Array f32 [T, H, W, C], and
/// one that has the rows of another an Array f32 [rows, C], of frames [T, H, W, C].
using Input = std::variant<SparseTensor, PointSet, Array>;

/// The inputs of a network by name.
using Inputs = std::map<std::string, Input>;

/// One user of a network: owns packed weights, arenas and the report of the last run. Not for
/// several threads at once; make one session per thread. After the largest input has been seen nothing but results is
/// allocated; frames of another extent than the last ones are planned anew.
class Session {
 public:
  /// threads: a number, 0 for num_threads(), or a pool to share. dtype of features and weights, all sums being f32:
  /// none is i8 of a network that has scales, else f32 on the CPU, f16 on CUDA. Inputs and outputs are f32. Throws
  /// InvalidArgument for a graph that does not hold together and for i8 of a network without scales; BackendUnavailable
  /// for a device this build has not, or a dtype that is none of f32, f16, bf16 and i8.
  explicit Session(const Network& network, Device device = Device::cpu(), const Threads& threads = {},
                   std::optional<DType> dtype = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Every output of a network with any inputs. Throws InvalidArgument that names the input for a missing or unknown
  /// one, another kind, dtype, number of channels, dimensions or rows than the network's, another device, and inputs
  /// that hold different numbers of clouds, batches or frames.
  Outputs run(const Inputs& inputs);

  /// Of a network on voxels alone: every output. Throws InvalidArgument when x has other channels or dimensions than
  /// the network's input, or lies on another device.
  Outputs run(const SparseTensor& x);

  /// Of a network on points alone: every output for points f32 [N, C], C the network's input channels.
  Outputs run(const PointSet& points);

  /// Of a network on frames alone: every output for frames f32 [T, H, W, C] of one clip, one after the other. Networks
  /// without temporal shifts take them as any images.
  Outputs run(const Array& frames);

  /// The features of a network's only output. Throws InvalidArgument as run(), and for a network with several.
  Array forward(const SparseTensor& x);
  Array forward(const PointSet& points);
  Array forward(const Array& frames);

  /// Whether runs wait for every step to report its time, and count pairs and MACs: on the CPU at first yes, on CUDA,
  /// where waiting costs time, no.
  void report_layers(bool wanted);

  const RunReport& report() const;
  const Graph& graph() const;
  Device device() const;
  DType dtype() const;
  int threads() const;

  /// Bytes that the session holds: packed weights, maps, features.
  std::size_t bytes() const;

  /// What runs the plan, for tasks that bring their rows in its memory.
  Executor& executor();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
