// How far the outputs of a rounded network are from those of the network in f32.
#pragma once

#include <voxshift/tasks/model.h>
#include <voxshift/video/window2d.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace voxshift {

/// Adds up over samples. Outputs are f32 [rows, channels] each, in the graph's order.
class OutputLoss {
 public:
  explicit OutputLoss(const Model& model) : model_(&model) {}

  /// `extent` gives that of an output that is an image.
  void add(const std::vector<Array>& exact, const std::vector<Array>& rounded,
           const std::function<Extent2d(std::size_t output)>& extent);

  /// Signal to noise of all numbers, dB: infinite where they are the same.
  double snr() const;

  /// Points as Quantization::loss says.
  double points() const;

 private:
  void add_labels(const Array& exact, const Array& rounded);
  void add_boxes(const std::vector<Array>& exact, const std::vector<Array>& rounded,
                 const std::function<Extent2d(std::size_t output)>& extent);

  const Model* model_;
  double signal_ = 0, noise_ = 0;
  std::int64_t things_ = 0, other_ = 0;  // labels or boxes, and those that are not the same
};

}  // namespace voxshift
