// How a tensor of an ONNX network lies in a value of ours, whose rows are pixels, frames or voxels and whose columns
// are channels. Transpose and Reshape change this and compute nothing.
#pragma once

#include <voxshift/tensor/shape.h>

#include <optional>
#include <vector>

namespace voxshift::onnx {

/// A run of indices that an axis is made of.
struct Atom {
  enum class Kind { kBatch, kRows, kChannels, kAxis0, kAxis1, kAxis2 };
  Kind kind;
  std::int64_t extent;
  std::int64_t step = 0;  ///< of kChannels: channels from one index to the next

  bool operator==(const Atom&) const = default;
};

using Axis = std::vector<Atom>;  ///< the first atom is the slowest; an extent of 1 has none

/// Axes of a tensor.
struct View {
  std::vector<Axis> axes;

  Shape shape() const;
  std::size_t rank() const { return axes.size(); }
  bool operator==(const View&) const = default;
};

std::int64_t extent_of(const Axis& axis);

/// An axis of one atom, of none where the extent is 1.
Axis axis_of(Atom::Kind kind, std::int64_t extent, std::int64_t step = 0);
Axis channel_axis(std::int64_t channels);

bool only_channels(const Axis& axis);
bool has_channels(const Axis& axis);

View transposed(const View& view, const std::vector<std::int64_t>& axes);

/// The same elements in the same order under another shape. None where a row, a pixel's coordinate or the batch would
/// be taken apart, or the counts differ.
std::optional<View> reshaped(const View& view, const Shape& shape);

/// The channel of every index into the channels' atoms, axis after axis.
std::vector<std::int64_t> channel_order(const View& view);

/// The view of a value whose channels lie in the order of channel_order.
View with_channels_in_order(const View& view);

/// The same where of one axis, made of channels only, these indices stay, in this order.
std::vector<std::int64_t> channels_at(const View& view, std::size_t axis, const std::vector<std::int64_t>& indices);

}  // namespace voxshift::onnx
