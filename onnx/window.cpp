#include <voxshift/onnx/window.h>

#include <algorithm>

namespace voxshift::onnx {
namespace {

constexpr std::int64_t kMostWindow = 1 << 20;  // so that products stay in 64 bits

std::array<std::int64_t, 2> pair_of(const Call& call, const char* name) {
  const std::vector<std::int64_t> values = call.wholes(name, {1, 1});
  call.expect(values.size() == 2, "expects ", name, " of two axes, found ", values.size());
  for (const std::int64_t value : values)
    call.expect(value >= 1 && value <= kMostWindow, "expects ", name, " of 1 to ", kMostWindow, ", found ", value);
  return {values[0], values[1]};
}

// SAME_UPPER and SAME_LOWER: ceil(n / stride) outputs, an odd pixel at the end or at the beginning.
void pad_same(ImageWindow& window, Extent2d in, bool upper) {
  const auto split = [&](std::size_t axis, std::int64_t n, std::int64_t& before, std::int64_t& after) {
    const std::int64_t outputs = (n + window.stride[axis] - 1) / window.stride[axis];
    const std::int64_t all = std::max<std::int64_t>((outputs - 1) * window.stride[axis] + window.span(axis) - n, 0);
    before = upper ? all / 2 : all - all / 2;
    after = all - before;
  };
  split(0, in.height, window.pads.top, window.pads.bottom);
  split(1, in.width, window.pads.left, window.pads.right);
}

// Outputs that begin inside the image or before it count, too, where their window ends outside.
void pad_for_ceiling(ImageWindow& window, Extent2d in) {
  const auto more = [&](std::size_t axis, std::int64_t n, std::int64_t before, std::int64_t& after) {
    const std::int64_t rest = n + before + after - window.span(axis), stride = window.stride[axis];
    if (rest < 0 || rest % stride == 0) return;
    const std::int64_t start = (rest / stride + 1) * stride;
    if (start < n + before) after += start - rest;
  };
  more(0, in.height, window.pads.top, window.pads.bottom);
  more(1, in.width, window.pads.left, window.pads.right);
}

}  // namespace

Extent2d ImageWindow::out(Extent2d in) const {
  return {(in.height + pads.top + pads.bottom - span(0)) / stride[0] + 1,
          (in.width + pads.left + pads.right - span(1)) / stride[1] + 1};
}

ImageWindow window_of(const Call& call, std::array<std::int64_t, 2> kernel, Extent2d in) {
  ImageWindow window{kernel, pair_of(call, "strides"), pair_of(call, "dilations"), {}};
  for (const std::int64_t taps : kernel)
    call.expect(taps >= 1 && taps <= kMostWindow, "expects a window of 1 to ", kMostWindow, " taps, found ", taps);
  const std::string automatic = call.word("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    pad_same(window, in, automatic == "SAME_UPPER");
  } else if (automatic != "VALID") {
    call.expect(automatic == "NOTSET" || automatic.empty(), "has the unknown auto_pad \"", automatic, "\"");
    const std::vector<std::int64_t> pads = call.wholes("pads", {0, 0, 0, 0});
    call.expect(pads.size() == 4, "expects pads of two axes, found ", pads.size(), " numbers");
    for (const std::int64_t pad : pads)
      call.expect(pad >= 0 && pad <= kMostWindow, "expects pads of 0 to ", kMostWindow, ", found ", pad);
    window.pads = {pads[0], pads[1], pads[2], pads[3]};
  }
  if (call.whole("ceil_mode", 0) != 0) pad_for_ceiling(window, in);
  call.expect(in.height + window.pads.top + window.pads.bottom >= window.span(0) &&
                  in.width + window.pads.left + window.pads.right >= window.span(1),
              "has a window larger than its image of ", in.height, " x ", in.width);
  return window;
}

Part image_like(const Part& image, std::string name, std::int64_t channels, Extent2d extent) {
  Part result = image;
  result.name = std::move(name);
  result.rows = Rows::kImage;
  result.channels = channels;
  result.extent = extent;
  result.nonnegative = false;
  result.view.axes = {image.view.axes[0], channel_axis(channels), axis_of(Atom::Kind::kAxis0, extent.height),
                      axis_of(Atom::Kind::kAxis1, extent.width)};
  return result;
}

Part padded(const Call& call, const Part& image, const Sides& sides) {
  if (sides.none()) return image;
  const Extent2d extent{image.extent.height + sides.top + sides.bottom, image.extent.width + sides.left + sides.right};
  Attributes attributes{{"top", sides.top}, {"left", sides.left}, {"bottom", sides.bottom}, {"right", sides.right}};
  Part result = image_like(image, call.graph().add(call.name() + ".pad", {"pad", {image.name}, {}, attributes}),
                           image.channels, extent);
  result.nonnegative = image.nonnegative;
  return result;
}

}  // namespace voxshift::onnx
