#include <voxshift/ros/cloud_labeller.h>

namespace voxshift::ros {

CloudLabeller::CloudLabeller(const Model& model, const LabellerOptions& options)
    : segmenter_(model, options.device, options.threads, options.dtype),
      prepare_(options.prepare),
      labelled_(model.classes(), options.style) {}

const PointCloud2& CloudLabeller::label(const PointCloud2& message) {
  points_.read(message);
  prepare_.frame = points_.origin();
  const Array labels = segmenter_.segment(points_.array(), false, prepare_).labels.to(Device::cpu());
  return labelled_.write(message, points_, labels.values<std::uint8_t>());
}

}  // namespace voxshift::ros
