// Resize and Upsample.
#include <voxshift/onnx/sparse.h>
#include <voxshift/onnx/window.h>

#include <cmath>
#include <map>

namespace voxshift::onnx {
namespace {

/// What one axis becomes.
struct Scaled {
  std::int64_t in, out;
  double scale;  ///< as the file gives it, or out / in
};

/// The pixel, in input pixels, that output `at` takes.
double source_of(const Call& call, const std::string& mode, const Scaled& axis, std::int64_t at) {
  const auto x = static_cast<double>(at), in = static_cast<double>(axis.in), out = static_cast<double>(axis.out);
  if (mode == "asymmetric") return axis.scale == out / in ? x * in / out : x / axis.scale;
  if (mode == "align_corners") return axis.out == 1 ? 0 : x * (in - 1) / (out - 1);
  if (mode == "pytorch_half_pixel" && axis.out == 1) return 0;
  call.expect(mode == "half_pixel" || mode == "pytorch_half_pixel", "has the coordinate_transformation_mode \"", mode,
              "\"");
  return (x + 0.5) / axis.scale - 0.5;
}

/// Whether output i takes pixel floor(i * in / out), as our nearest does.
bool is_plain_nearest(const Call& call, const Scaled& axis, const std::string& mode, const std::string& rounding) {
  for (std::int64_t i = 0; i < axis.out; ++i) {
    const double x = source_of(call, mode, axis, i);
    double pixel = std::floor(x);
    if (rounding == "ceil") pixel = std::ceil(x);
    if (rounding == "round_prefer_ceil") pixel = std::floor(x + 0.5);
    if (rounding == "round_prefer_floor") pixel = std::ceil(x - 0.5);
    pixel = std::min(std::max(pixel, 0.0), static_cast<double>(axis.in - 1));
    const std::int64_t plain = i * axis.in / axis.out;
    if (pixel != static_cast<double>(plain)) return false;
  }
  return true;
}

std::array<Scaled, 2> scaled_axes(const Call& call, const Extent2d& in, const Constant* scales, const Constant* sizes) {
  std::array<Scaled, 2> axes;
  const std::int64_t extents[] = {in.height, in.width};
  constexpr double kMost = 1 << 24;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto at = static_cast<std::int64_t>(i) + 2;
    Scaled& axis = axes[i];
    axis.in = extents[i];
    const double out =
        sizes != nullptr ? sizes->number(at) : std::floor(static_cast<double>(axis.in) * scales->number(at));
    call.expect(out >= 1 && out <= kMost, "makes ", out, " pixels of ", axis.in);
    axis.out = static_cast<std::int64_t>(out);
    axis.scale = sizes != nullptr ? out / static_cast<double>(axis.in) : scales->number(at);
  }
  for (std::int64_t at = 0; at < 2; ++at)
    call.expect(sizes != nullptr || scales->number(at) == 1, "scales the batch or the channels");
  return axes;
}

/// Attributes of `upsample` for what a mode of the file says, or an error where it says something else.
Attributes attributes_of(const Call& call, const std::array<Scaled, 2>& axes, bool old) {
  Attributes attributes;
  const std::string kind = call.word("mode", "nearest");
  std::string mode = call.word("coordinate_transformation_mode", "half_pixel");
  if (old) mode = "asymmetric";
  const std::string rounding = old ? "floor" : call.word("nearest_mode", "round_prefer_floor");
  bool whole = true;
  for (const Scaled& axis : axes)
    whole &= axis.out % axis.in == 0 && axis.scale * static_cast<double>(axis.in) == axis.out;
  if (kind == "nearest") {
    for (const Scaled& axis : axes)
      call.expect(is_plain_nearest(call, axis, mode, rounding), "rounds to other pixels (", mode, ", ", rounding,
                  ") than floor(i * in / out)");
  } else {
    call.expect(kind == "linear" || kind == "bilinear", "has mode \"", kind, "\"");
    bool same = true;
    for (const Scaled& axis : axes) same &= axis.in == axis.out;
    call.expect(same || mode != "asymmetric", "interpolates with asymmetric coordinates, which torch does not");
    for (const Scaled& axis : axes) {
      source_of(call, mode, axis, 0);
      call.expect(axis.scale * static_cast<double>(axis.in) == axis.out || mode == "align_corners" ||
                      std::abs(axis.scale * static_cast<double>(axis.in) - static_cast<double>(axis.out)) < 1e-4,
                  "has a scale of ", axis.scale, " that makes no whole number of ", axis.in, " pixels");
      call.expect(axis.out > 1 || axis.in == 1 || mode != "pytorch_half_pixel", "makes one pixel of several");
    }
    attributes["mode"] = std::string("bilinear");
    attributes["align_corners"] = mode == "align_corners";
  }
  if (whole) {
    attributes["scale_factor"] = PerAxis{axes[0].out / axes[0].in, axes[1].out / axes[1].in};
  } else {
    attributes["size"] = PerAxis{axes[0].out, axes[1].out};
  }
  return attributes;
}

void resize(Call& call) {
  const Part image = call.image(0);
  const bool old = call.opset() < 11;  // data, scales; later data, region, scales, sizes
  const std::size_t at = old ? 1 : 2;
  const auto numbers = [&](std::size_t i) -> const Constant* {
    if (!call.given(i)) return nullptr;
    const Constant& given = call.constant(i, "its scales or sizes");
    return given.count() == 0 ? nullptr : &given;
  };
  const Constant *scales = numbers(at), *sizes = old ? nullptr : numbers(3);
  Constant listed;
  if (const auto* attribute = call.attribute("scales"); attribute != nullptr && scales == nullptr) {
    const std::vector<float> values(attribute->floats().begin(), attribute->floats().end());
    listed.array = Array::from(values, {static_cast<std::int64_t>(values.size())});
    scales = &listed;
  }
  call.expect((scales == nullptr) != (sizes == nullptr), "expects either scales or sizes");
  call.expect((scales != nullptr ? scales : sizes)->count() == 4, "expects scales or sizes of 4 axes");
  for (const char* name : {"axes", "antialias", "exclude_outside"})
    call.expect(call.attribute(name) == nullptr || call.whole(name, 0) == 0, "has ", name);
  call.expect(call.attribute("axes") == nullptr, "has axes");
  const Extent2d in = image.is_image() ? image.extent : Extent2d{1, 1};
  const std::array<Scaled, 2> axes = scaled_axes(call, in, scales, sizes);
  const Extent2d out{axes[0].out, axes[1].out};
  if (out == in) return call.give(image);
  if (!image.is_image()) return call.give(spread_over(call, image, out));
  const Attributes attributes = attributes_of(call, axes, old);
  Part result =
      image_like(image, call.graph().add(call.name(), {"upsample", {image.name}, {}, attributes}), image.channels, out);
  result.nonnegative = image.nonnegative;
  call.give(std::move(result));
}

}  // namespace

Handler find_resize_op(const std::string& op) { return op == "Resize" || op == "Upsample" ? resize : nullptr; }

}  // namespace voxshift::onnx
