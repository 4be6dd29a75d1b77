#include <voxshift/onnx/value.h>

namespace voxshift::onnx {

Shape Value::shape() const {
  if (constant) return constant->shape();
  if (zeros) return *zeros;
  if (coordinates) {
    if (coordinates->flat) return {kSomeRows};
    return {kSomeRows, static_cast<std::int64_t>(coordinates->columns.size())};
  }
  if (parts.empty()) return {};
  Shape shape = parts.front().view.shape();
  for (std::size_t i = 1; i < parts.size(); ++i) shape[joined] += parts[i].view.shape()[joined];
  return shape;
}

View image_view(std::int64_t batch, std::int64_t channels, Extent2d extent) {
  return {{axis_of(Atom::Kind::kBatch, batch), channel_axis(channels), axis_of(Atom::Kind::kAxis0, extent.height),
           axis_of(Atom::Kind::kAxis1, extent.width)}};
}

View frame_view(std::int64_t batch, std::int64_t channels, bool with_pixels) {
  View view{{axis_of(Atom::Kind::kBatch, batch), channel_axis(channels)}};
  if (with_pixels) view.axes.resize(4);
  return view;
}

View voxel_view(std::int64_t channels) { return {{axis_of(Atom::Kind::kRows, kSomeRows), channel_axis(channels)}}; }

}  // namespace voxshift::onnx
