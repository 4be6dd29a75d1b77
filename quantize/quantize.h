// From a trained model to one that computes in i8, by looking at some of the data that it will see.
#pragma once

#include <voxshift/engine/session.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/prepare_points.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// What a network is shown: for each sample what Session::run takes, f32 on the CPU.
using CalibrationData = std::vector<Inputs>;

/// Adds a scan to the data as the model's Segmenter or Detector would give it to the network: points f32 [N, C] on the
/// CPU, prepared by the model's profile. Returns what was guessed of the points, a line each. Throws InvalidArgument
/// for a model without a profile or on frames, for other shapes, and for a scan of which no point is left.
std::vector<std::string> add_scan(CalibrationData& data, const Model& model, const Array& points,
                                  const PrepareOptions& options = {});

/// Adds a clip as samples of `each` consecutive frames, the last of what is left: frames u8 [T, height, width, 3], RGB,
/// of the size the model takes, on the CPU. Throws InvalidArgument for a model that does not take frames and for other
/// shapes.
void add_clip(CalibrationData& data, const Model& model, const Array& frames, std::int64_t each = 8);

/// Adds `count` simulated scans, or clips of eight frames, as the model takes them: with the seeds seed, seed + 1 ..
void add_synthetic(CalibrationData& data, const Model& model, int count, std::uint64_t seed = 1);

struct QuantizeOptions {
  /// Of features and weights: i8, f16 or bf16. None: i8, at most `max_loss` or half a point lost, and what stays wide
  /// is stored as f16.
  std::optional<DType> dtype = DType::kI8;

  std::vector<std::string> keep = {};   ///< products that stay f32, by name
  std::optional<double> max_loss = {};  ///< points that the labels may lose; none: no products are kept for it
  bool equalize = true, correct_bias = true;
  bool sensitivity = true;  ///< measure every layer alone; max_loss needs it, and measures it itself
  Threads threads = {};

  /// Called with the runs of the network that are done and those there will be in all, and what they are for.
  std::function<void(std::size_t done, std::size_t total, const std::string& what)> progress = {};
};

/// One product of the network.
struct QuantizedLayer {
  std::string name, kind;     ///< of the node; as of LayerReport::kind
  DType dtype = DType::kF32;  ///< of its input and weights in the quantised network
  std::string reason;  ///< why it is f32: "reads an input", "reads f32", "no i8 kernel", "keep", "max loss"; else empty
  std::int64_t macs = 0;         ///< of all samples
  std::size_t weight_bytes = 0;  ///< in the quantised network

  /// Signal to noise of the network's outputs, dB, where this layer alone has its input and weights in i8; infinite
  /// where nothing changed, NaN where it was not measured.
  double snr = std::numeric_limits<double>::quiet_NaN();

  /// Milliseconds of the first sample in f32, and those that i8 saves; NaN where they were not measured.
  double milliseconds = std::numeric_limits<double>::quiet_NaN();
  double saved_milliseconds = std::numeric_limits<double>::quiet_NaN();
};

struct Quantization {
  Model model;
  DType stored = DType::kF32;          ///< what Model::save is to store f32 tensors as
  std::vector<QuantizedLayer> layers;  ///< in the order of the graph
  double snr = 0;                      ///< of the outputs of the whole network, dB
  double loss = 0;                     ///< points: of 100 labels those that are others than f32's; see quantize()
  std::vector<std::string> warnings;   ///< a line each
};

/// A model whose products compute in i8 as tensor/narrow.h says: batch norm folded, the ranges of neighbouring channels
/// evened out (Nagel et al. 2019), for every channel of each value the scale whose rounding and clipping has the least
/// squared error on the data, weights rounded per output channel likewise, and the mean error of each product taken off
/// its bias. The network's inputs and outputs, the products that read an input, and values of ops without i8 stay f32.
/// `loss` compares with f32 on the same data: rows of the output whose largest channel is another one, in percent; of a
/// detector the boxes that have no counterpart of the same class and an overlap of 0.7, of both networks, in percent of
/// their boxes; of networks without classes or with one channel the relative error of the outputs in percent. NaN and
/// infinite numbers of the data are not counted, which a warning says; a value that is all 0 gets the scale 1.
/// With dtype f16 or bf16 the model is the given one, and `stored` says how to save it. The result does not depend on
/// the number of threads. Throws InvalidArgument "[quantize] .." for a model that has i8 already, a network without
/// products, empty data or data that the network does not take, and for a name in `keep` that is no product.
Quantization quantize(const Model& model, const CalibrationData& data, const QuantizeOptions& options = {});

}  // namespace voxshift
