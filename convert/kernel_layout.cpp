#include <voxshift/convert/kernel_layout.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <utility>

namespace voxshift {
namespace {

constexpr std::array kLayouts{
    std::pair(KernelLayout::kTorchsparse, "torchsparse"), std::pair(KernelLayout::kMinkowski, "minkowski"),
    std::pair(KernelLayout::kSpconv1, "spconv1"), std::pair(KernelLayout::kSpconv20, "spconv2.0"),
    std::pair(KernelLayout::kSpconv22, "spconv2.2")};

std::int64_t product(const std::vector<std::int64_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

// Taps in the order of the tensor.
std::int64_t stored_taps(const KernelShape& kernel) {
  return kernel.stored.empty() ? kernel.taps() : product(kernel.stored);
}

// Whether the graph's first axis varies fastest among the stored taps.
bool first_axis_fastest(const KernelShape& kernel, KernelLayout layout) {
  if (layout == KernelLayout::kTorchsparse) return kernel.taps() % 2 == 1;
  return layout == KernelLayout::kMinkowski || kernel.reversed_axes;
}

// Where the library stores our tap: our last axis is the fastest.
std::int64_t stored_tap(std::int64_t tap, const KernelShape& kernel, KernelLayout layout) {
  if (!first_axis_fastest(kernel, layout)) return tap;
  std::int64_t result = 0, weight = product(kernel.size);
  for (std::size_t axis = kernel.size.size(); axis-- > 0;) {
    weight /= kernel.size[axis];
    result += tap % kernel.size[axis] * weight;
    tap /= kernel.size[axis];
  }
  return result;
}

// Calls move(place in [K, Cin, Cout], place in the stored tensor, step there, count) for runs of weights, which are
// neighbours in ours.
template <class Move>
void for_each_run(const KernelShape& kernel, KernelLayout layout, const Move& move) {
  const std::int64_t in = kernel.in, out = kernel.out, stored = stored_taps(kernel);
  const bool cout_first = layout == KernelLayout::kSpconv22, cout_before_cin = layout == KernelLayout::kSpconv20;
  for (std::int64_t tap = 0; tap < kernel.taps(); ++tap) {
    const std::int64_t from = stored_tap(tap, kernel, layout), place = tap * in * out;
    if (!cout_first && !cout_before_cin) {
      move(place, from * in * out, 1, in * out);
      continue;
    }
    for (std::int64_t i = 0; i < in; ++i) {
      if (cout_first)
        move(place + i * out, from * in + i, stored * in, out);
      else
        move(place + i * out, from * in * out + i, in, out);
    }
  }
}

// Whether the stored numbers are ours as they lie.
bool is_ours(const KernelShape& kernel, KernelLayout layout) {
  if (stored_taps(kernel) != kernel.taps()) return false;
  const bool cout_before_cin = layout == KernelLayout::kSpconv20 || layout == KernelLayout::kSpconv22;
  if (kernel.taps() == 1) return !cout_before_cin || !kernel.strided;
  if (cout_before_cin) return false;
  return !first_axis_fastest(kernel, layout);
}

}  // namespace

const char* name(KernelLayout layout) {
  return std::find_if(kLayouts.begin(), kLayouts.end(), [&](const auto& known) { return known.first == layout; })
      ->second;
}

KernelLayout kernel_layout(const std::string& name) {
  std::string names;
  for (const auto& [layout, known] : kLayouts) {
    if (name == known) return layout;
    names += names.empty() ? known : std::string(", ") + known;
  }
  throw InvalidArgument("[convert] layout expects one of " + names + ", found \"" + name + "\"");
}

bool is_sparse_convolution(const Node& node) {
  return node.op == "conv" || node.op == "conv_transpose" || node.op == "generative_conv_transpose";
}

KernelShape kernel_shape(const Node& node, const Shape& weight, bool reversed_axes) {
  KernelShape kernel;
  kernel.size = node.per_axis("kernel_size");
  kernel.in = weight[weight.size() - 2];
  kernel.out = weight.back();
  kernel.reversed_axes = reversed_axes;
  kernel.strided = product(node.per_axis("stride")) > 1;
  return kernel;
}

bool has_flat_taps(KernelLayout layout) {
  return layout == KernelLayout::kTorchsparse || layout == KernelLayout::kMinkowski;
}

std::int64_t KernelShape::taps() const { return product(size); }

KernelLayout layout_of(const Shape& stored, KernelLayout layout) {
  constexpr std::int64_t kMostImplicitTaps = 32;
  if (layout != KernelLayout::kSpconv22 || stored.size() < 4) return layout;
  const auto are_alike = [](auto first, auto last) { return std::equal(first + 1, last, first); };
  const Shape window(stored.begin(), stored.end() - 2);
  const bool native = are_alike(window.begin(), window.end()) && !are_alike(stored.begin() + 1, stored.end() - 1) &&
                      product(window) > kMostImplicitTaps;
  return native ? KernelLayout::kSpconv20 : layout;
}

std::vector<Shape> stored_shapes(const KernelShape& kernel, KernelLayout layout) {
  if (has_flat_taps(layout)) {
    Shape cube{stored_taps(kernel), kernel.in, kernel.out};
    if (stored_taps(kernel) > 1) return {std::move(cube)};
    return {{kernel.in, kernel.out}, std::move(cube)};
  }
  std::vector<std::int64_t> window = kernel.stored.empty() ? kernel.size : kernel.stored;
  if (kernel.reversed_axes) std::reverse(window.begin(), window.end());
  const auto with = [&](std::initializer_list<std::int64_t> before, std::initializer_list<std::int64_t> after) {
    Shape shape(before);
    shape.insert(shape.end(), window.begin(), window.end());
    shape.insert(shape.end(), after.begin(), after.end());
    return shape;
  };
  if (layout == KernelLayout::kSpconv1) return {with({}, {kernel.in, kernel.out})};
  if (layout == KernelLayout::kSpconv20) return {with({}, {kernel.out, kernel.in})};
  std::vector<Shape> shapes{with({kernel.out}, {kernel.in})};
  const Shape native = with({}, {kernel.out, kernel.in});
  if (layout_of(native, layout) != layout) shapes.push_back(native);
  return shapes;
}

Array from_layout(const Array& stored, const KernelShape& kernel, KernelLayout given) {
  const Shape shape{kernel.taps(), kernel.in, kernel.out};
  const KernelLayout layout = layout_of(stored.shape(), given);
  if (is_ours(kernel, layout)) return stored.reshaped(shape);
  Array ours(shape, DType::kF32);
  const auto* from = stored.data<float>();
  auto* to = ours.data<float>();
  for_each_run(kernel, layout, [&](std::int64_t place, std::int64_t theirs, std::int64_t step, std::int64_t count) {
    for (std::int64_t n = 0; n < count; ++n) to[place + n] = from[theirs + n * step];
  });
  return ours;
}

Array to_layout(const Array& kernel_of_ours, const KernelShape& kernel, KernelLayout layout) {
  const Shape shape = stored_shapes(kernel, layout).front();
  if (is_ours(kernel, layout)) return kernel_of_ours.reshaped(shape);
  Array stored(shape, DType::kF32);
  std::fill_n(stored.data<float>(), stored.count(), 0.0f);
  const auto* from = kernel_of_ours.data<float>();
  auto* to = stored.data<float>();
  for_each_run(kernel, layout, [&](std::int64_t place, std::int64_t theirs, std::int64_t step, std::int64_t count) {
    for (std::int64_t n = 0; n < count; ++n) to[theirs + n * step] = from[place + n];
  });
  return stored;
}

}  // namespace voxshift
