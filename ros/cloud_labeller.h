// From a PointCloud2 to one with labels.
#pragma once

#include <voxshift/ros/labelled_cloud.h>
#include <voxshift/tasks/segmenter.h>

namespace voxshift::ros {

struct LabellerOptions {
  Device device = Device::cpu();
  Threads threads = {};
  std::optional<DType> dtype = {};
  PrepareOptions prepare = {};  ///< of the points; frame is set by each message
  CloudStyle style = {};
};

/// Labels one message after the other. Not for several threads at once.
class CloudLabeller {
 public:
  /// Throws as Segmenter and LabelledCloud do.
  explicit CloudLabeller(const Model& model, const LabellerOptions& options = {});

  /// The message with labels, for use until the next call. Throws InvalidArgument for what CloudPoints or the model
  /// cannot take; the next message is taken all the same.
  const PointCloud2& label(const PointCloud2& message);

  /// Of the last message: its points, and what labelling them cost.
  const CloudPoints& points() const { return points_; }
  const SegmentReport& report() const { return segmenter_.report(); }

 private:
  Segmenter segmenter_;
  PrepareOptions prepare_;
  CloudPoints points_;
  LabelledCloud labelled_;
};

}  // namespace voxshift::ros
