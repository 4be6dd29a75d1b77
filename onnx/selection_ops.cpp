// Slice, Split, Gather, means along axes, Resize.
#include <voxshift/onnx/sparse.h>
#include <voxshift/onnx/window.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace voxshift::onnx {
namespace {

/// The indices that start, end and step of a Slice name, of `extent`.
struct Range {
  std::int64_t start, step, count;

  std::vector<std::int64_t> indices() const {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < count; ++i) all.push_back(start + i * step);
    return all;
  }
  bool is_all(std::int64_t extent) const { return step == 1 && count == extent; }
};

/// Some of the channels on one axis.
Part channels_of(const Call& call, const Part& part, std::size_t axis, const std::vector<std::int64_t>& indices) {
  call.expect(only_channels(part.view.axes[axis]), "takes a part of an axis that is not made of channels alone, ",
              part.view.shape(), " along axis ", axis);
  for (const std::int64_t index : indices)
    call.expect(index >= 0 && index < extent_of(part.view.axes[axis]), "takes index ", index, " of a tensor ",
                part.view.shape());
  Part result = call.graph().selected(part, call.name(), channels_at(part.view, axis, indices));
  result.view.axes[axis] = axis_of(Atom::Kind::kChannels, static_cast<std::int64_t>(indices.size()), 1);
  result.view = with_channels_in_order(result.view);
  return result;
}

/// Every so many pixels of an image from one on: a convolution with a single tap in each channel's window.
Part pixels_of(const Call& call, const Part& image, const Range& vertical, const Range& horizontal) {
  const auto taps = [&](const Range& range, std::int64_t n) {
    call.expect(range.step >= 1 && range.count >= 1, "takes no pixels, or backwards");
    const std::int64_t least = std::max(range.start + 1, n - range.count * range.step + 1),
                       most = n - (range.count - 1) * range.step;
    return std::clamp(range.step, least, most);
  };
  const std::int64_t height = taps(vertical, image.extent.height), width = taps(horizontal, image.extent.width);
  Array weight({image.channels, 1, height, width}, DType::kF32);
  std::fill_n(weight.data<float>(), weight.count(), 0.0f);
  for (std::int64_t c = 0; c < image.channels; ++c)
    weight.data<float>()[(c * height + vertical.start) * width + horizontal.start] = 1;
  NewNode node{"conv2d", {image.name}, {{"weight", call.name() + ".taps", weight}}, {}};
  node.attributes = {{"stride", PerAxis{vertical.step, horizontal.step}}, {"groups", image.channels}};
  Part result = image_like(image, call.graph().add(call.name(), std::move(node)), image.channels,
                           {vertical.count, horizontal.count});
  result.nonnegative = image.nonnegative;
  return result;
}

std::vector<Range> ranges_of(const Call& call, const Shape& shape) {
  const auto starts = call.listed("starts", 1), ends = call.listed("ends", 2);
  call.expect(starts && ends && starts->size() == ends->size(), "lacks starts and ends");
  std::vector<std::int64_t> usual(starts->size());
  std::iota(usual.begin(), usual.end(), 0);
  const auto axes = call.listed("axes", 3).value_or(usual);
  const auto steps = call.listed("steps", 4).value_or(std::vector<std::int64_t>(starts->size(), 1));
  call.expect(axes.size() == starts->size() && steps.size() == starts->size(), "has as many axes and steps as starts");
  std::vector<Range> ranges;
  for (const std::int64_t extent : shape) ranges.push_back({0, 1, extent});
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = call.axis(axes[i], shape.size());
    const std::int64_t extent = shape[axis], step = steps[i];
    constexpr std::int64_t kMostStep = std::int64_t{1} << 40;
    call.expect(step != 0 && std::abs(std::max(step, -kMostStep)) < kMostStep, "has step ", step);
    const std::int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? extent - 1 : extent;
    const auto bound = [&](std::int64_t at) { return std::clamp(at < 0 ? at + extent : at, lowest, highest); };
    const std::int64_t start = std::max<std::int64_t>(bound((*starts)[i]), 0), end = bound((*ends)[i]);
    const std::int64_t span = step > 0 ? end - start : start - end, size = std::abs(step);
    ranges[axis] = {start, step, span > 0 ? (span + size - 1) / size : 0};
  }
  return ranges;
}

void slice(Call& call) {
  const Value& value = call.input(0);
  const Shape shape = value.shape();
  const std::vector<Range> ranges = ranges_of(call, shape);
  if (value.constant) {
    std::vector<std::vector<std::int64_t>> indices;
    for (const Range& range : ranges) indices.push_back(range.indices());
    return call.give(taken(call, *value.constant, indices));
  }
  if (value.coordinates) {
    call.expect(shape.size() == 2 && ranges[0].is_all(kSomeRows), "takes some of the voxels alone");
    return give_columns(call, ranges[1].indices(), false);
  }
  Part part = call.part(0);
  bool pixels = false;
  for (std::size_t axis = 0; axis < ranges.size(); ++axis) {
    if (ranges[axis].is_all(shape[axis])) continue;
    call.expect(ranges[axis].count > 0, "takes nothing of axis ", axis);
    if (only_channels(part.view.axes[axis])) {
      part = channels_of(call, part, axis, ranges[axis].indices());
    } else {
      pixels = true;
    }
  }
  if (!pixels) return call.give(std::move(part));
  part = as_image(call, part);
  call.expect(part.is_image() && part.view == image_view(call.reading.batch, part.channels, part.extent) &&
                  ranges[0].is_all(shape[0]),
              "takes some pixels, frames or rows of a tensor ", shape);
  call.give(pixels_of(call, part, ranges[2], ranges[3]));
}

void split(Call& call) {
  const Part part = call.part(0);
  const std::size_t axis = call.axis(call.whole("axis", 0), part.view.rank());
  const std::int64_t extent = extent_of(part.view.axes[axis]), outputs = call.node.output_size();
  std::vector<std::int64_t> sizes;
  if (const auto given = call.listed("split", 1)) {
    sizes = *given;
  } else {
    const std::int64_t each = (extent + outputs - 1) / std::max<std::int64_t>(outputs, 1);
    for (std::int64_t i = 0; i < outputs; ++i) sizes.push_back(std::min(each, extent - each * i));
  }
  call.expect(static_cast<std::int64_t>(sizes.size()) == outputs, "has ", sizes.size(), " sizes for ", outputs,
              " outputs");
  std::int64_t first = 0;
  for (int i = 0; i < call.node.output_size(); ++i) {
    const std::int64_t size = sizes[static_cast<std::size_t>(i)];
    call.expect(size > 0 && size <= extent - first, "takes ", size, " from ", first, " on of ", extent);
    call.give(channels_of(call, part, axis, Range{first, 1, size}.indices()), i);
    first += size;
  }
  call.expect(first == extent, "takes ", first, " of ", extent);
}

void gather(Call& call) {
  const Value& value = call.input(0);
  const Constant& indices = call.constant(1, "the indices");
  const std::size_t axis = call.axis(call.whole("axis", 0), value.shape().size());
  const std::int64_t extent = value.shape()[axis];
  std::vector<std::int64_t> at = indices.wholes();
  for (std::int64_t& index : at) {
    index = index < 0 ? index + extent : index;
    call.expect(index >= 0 && index < extent, "takes index ", index, " of ", extent);
  }
  call.expect(indices.shape().size() <= 1, "takes indices of shape ", indices.shape());
  const bool single = indices.shape().empty();
  if (value.coordinates) {
    call.expect(axis == 1, "takes some of the voxels alone");
    return give_columns(call, at, single);
  }
  if (value.constant) {
    std::vector<std::vector<std::int64_t>> all;
    for (const std::int64_t one : value.shape()) all.push_back(Range{0, 1, one}.indices());
    all[axis] = at;
    Constant result = taken(call, *value.constant, all);
    Shape shape = result.shape();
    if (single) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    return call.give(Constant{result.array.reshaped(shape)});
  }
  Part part = channels_of(call, call.part(0), axis, at);
  if (single) part.view.axes.erase(part.view.axes.begin() + static_cast<std::ptrdiff_t>(axis));
  call.give(std::move(part));
}

// The mean, maximum or sum over all pixels, or the mean over all channels.
void give_reduced(Call& call, const char* op) {
  Part part = call.part(0);
  const std::size_t rank = part.view.rank();
  const auto axes = call.listed("axes", 1);
  call.expect(axes.has_value() && !axes->empty(), "goes over all axes");
  std::vector<bool> gone(rank, false);
  for (const std::int64_t axis : *axes) gone[call.axis(axis, rank)] = true;
  std::int64_t pixels = 1, channels = 1;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (!gone[axis]) continue;
    (only_channels(part.view.axes[axis]) ? channels : pixels) *= extent_of(part.view.axes[axis]);
    call.expect(only_channels(part.view.axes[axis]) || !has_channels(part.view.axes[axis]),
                "goes over pixels and channels at once");
  }
  if (pixels > 1) {
    call.expect(part.is_image() && pixels == part.extent.pixels() && channels == 1,
                "goes over some of the pixels alone, ", part.view.shape());
    part.name = call.graph().add(call.name(), {op, {part.name}});
    part.rows = Rows::kFrame;
    part.extent = {};
  } else if (channels > 1) {
    call.expect(channels == part.channels && std::string(op) == "avg_pool", "goes over some of the channels alone");
    Array share({1, channels}, DType::kF32);
    std::fill_n(share.data<float>(), channels, static_cast<float>(1.0 / static_cast<double>(channels)));
    part = call.graph().product(part, call.name(), {"weight", call.name() + ".share", share}, {});
  }
  const bool keeps = call.whole("keepdims", 1) != 0;
  View view;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (!gone[axis]) view.axes.push_back(part.view.axes[axis]);
    if (gone[axis] && keeps) view.axes.emplace_back();
  }
  part.view = view;
  call.give(std::move(part));
}

void reduce_mean(Call& call) { give_reduced(call, "avg_pool"); }
void reduce_max(Call& call) { give_reduced(call, "max_pool"); }
void reduce_sum(Call& call) { give_reduced(call, "sum_pool"); }

}  // namespace

Handler find_selection_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"Slice", slice},          {"Split", split},
                                                  {"Gather", gather},        {"ReduceMean", reduce_mean},
                                                  {"ReduceMax", reduce_max}, {"ReduceSum", reduce_sum}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
