#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_window.h>
#include <voxshift/graph/product.h>
#include <voxshift/graph/steps.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kMostPairs = std::int64_t{1} << 27;  // of one image: 1 GiB

// [Cout, Cin / groups, height, width] as [taps, Cin / groups, Cout].
template <class T>
Array by_taps_of(const Array& weight) {
  const std::int64_t out = weight.dim(0), in = weight.dim(1), taps = weight.dim(2) * weight.dim(3);
  Array result({taps, in, out}, weight.dtype());
  const T* from = weight.data<T>();
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t t = 0; t < taps; ++t) result.data<T>()[(t * in + i) * out + o] = *from++;
  return result;
}

Array by_taps(const Array& weight) {
  return weight.dtype() == DType::kI8 ? by_taps_of<std::int8_t>(weight) : by_taps_of<float>(weight);
}

// The same window as backends know it best: half of the map of a centred one with odd sizes is the other half
// exchanged.
Window of_pixels(const Window& window, int fine, int coarse) {
  Window centred = window;
  centred.semantics = Semantics::kFloor;
  centred.pad = {0, 0, 0, 0};
  return fine == coarse && window.unit_stride() && centred.offset(0) == window.offset(0) ? centred : window;
}

}  // namespace

Extent2d input_extent(Inference& node) { return node.domains()[node.expect_images(0)].extent; }

Window pixel_window(const Node& node, Extent2d taps) {
  Window window;
  window.dims = 2;
  window.semantics = Semantics::kBounded;
  const std::int64_t sizes[]{taps.height, taps.width};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t stride = node.per_axis("stride")[axis];
    window.size[axis] = static_cast<std::int32_t>(sizes[axis]);
    window.stride[axis] = static_cast<std::int32_t>(stride > 0 ? stride : sizes[axis]);
    window.pad[axis] = static_cast<std::int32_t>(node.per_axis("padding")[axis]);
    if (node.attributes.contains("dilation"))
      window.dilation[axis] = static_cast<std::int32_t>(node.per_axis("dilation")[axis]);
  }
  return window;
}

Extent2d expected_taps(const Inference& node, std::int64_t first, std::int64_t second) {
  const Shape& shape = node.shape("weight");
  const Extent2d taps{shape.size() == 4 ? shape[2] : shape.back(), shape.back()};
  node.expect(std::min(taps.height, taps.width) >= 1 && std::max(taps.height, taps.width) <= kMostTaps2d,
              "expects a kernel of 1 to ", kMostTaps2d, " taps along each axis, found ", taps.height, " x ",
              taps.width);
  node.expect_parameter("weight", {{first, second, taps.height, taps.width}});
  return taps;
}

void expect_map_fits(const Inference& node, const Window& window, Extent2d larger) {
  node.expect(larger.pixels() <= kMostPairs / window.volume(), "reads ", window.volume(), " taps at ", larger.height,
              " x ", larger.width, " pixels, expected at most ", kMostPairs, " in all");
}

int inferred_window_images(Inference& node, const Window& window) {
  const Extent2d in = input_extent(node);
  const auto reach = [&](std::size_t axis) {
    return std::int64_t{window.dilation[axis]} * (window.size[axis] - 1) + 1 - 2 * std::int64_t{window.pad[axis]};
  };
  if (in.pixels() == 0)
    return window.unit_stride() && reach(0) == 1 && reach(1) == 1 ? node.in(0).domain : inferred_images(node, in);
  node.expect(in.height >= reach(0) && in.width >= reach(1), "needs images of ", std::max<std::int64_t>(reach(0), 1),
              " x ", std::max<std::int64_t>(reach(1), 1), " pixels at least, found ", in.height, " x ", in.width);
  const Extent2d out{(in.height - reach(0)) / window.stride[0] + 1, (in.width - reach(1)) / window.stride[1] + 1};
  return inferred_images(node, out);
}

int pixel_map(Lowering& lowering, int fine, int coarse, const Window& window) {
  return lowering.map(fine, coarse, of_pixels(window, fine, coarse));
}

void lower_image_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed) {
  Draft product = draft;
  product.weights.weight = by_taps(draft.weights.weight);
  const int in = lowering.domain(draft.inputs[0]), out = lowering.domain(draft.output);
  lower_convolution(product, lowering, transposed ? of_pixels(window, out, in) : of_pixels(window, in, out),
                    transposed);
}

void lower_resampling(const Draft& draft, Lowering& lowering, Resampling resampling) {
  const int from = lowering.domain(draft.inputs[0]), to = lowering.domain(draft.output);
  if (from == to) return lowering.add(draft, std::make_unique<AffineStep>());  // every pixel is itself
  resampling.from = lowering.domains()[from].extent;
  resampling.to = lowering.domains()[to].extent;
  const int link = lowering.link(to, from, resampling);
  if (resampling.corners() > 1) return lowering.add(draft, std::make_unique<InterpolateStep>(link));
  lowering.add(draft, std::make_unique<GatherStep>(draft.op->name, link));
}

}  // namespace voxshift
