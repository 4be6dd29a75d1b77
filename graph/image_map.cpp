#include <voxshift/graph/image_map.h>
#include <voxshift/graph/image_window.h>
#include <voxshift/graph/steps.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/level.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

constexpr std::int64_t kMostPairs = std::int64_t{1} << 27;  // of one image: 1 GiB

// Groups are slices of the channels; each is a sparse convolution on the same map.
class ImageMapStep final : public Step {
 public:
  ImageMapStep(const Draft& draft, Device device, std::vector<std::shared_ptr<const PackedWeights>> groups, int map,
               const Window& window, bool transposed)
      : kind_(draft.node->op + " " + window_text(window)),
        groups_(std::move(groups)),
        activation_(draft.activation),
        residual_last_(draft.residual_last),
        map_(map),
        transposed_(transposed) {
    if (draft.weights.bias) bias_ = draft.weights.bias->to(device);
  }

  std::string kind() const override { return kind_; }
  void run(const StepRun& run) const override {
    const KernelMapViews& map = run.rows.map(map_);
    const auto groups = static_cast<std::int64_t>(groups_.size());
    const std::int64_t in = run.x.channels / groups, out = run.y.channels / groups;
    const float* bias = floats_of(bias_);
    for (std::int64_t g = 0; g < groups; ++g) {
      const ConstRowView residual = run.other.base != nullptr ? run.other.columns(g * out, out) : ConstRowView();
      const Epilogue epilogue{bias != nullptr ? bias + g * out : nullptr, residual, activation_, residual_last_};
      sparse_conv_kernels(run.context.device)
          .conv(run.context, run.x.columns(g * in, in), transposed_ ? map.transposed : map.forward,
                *groups_[static_cast<std::size_t>(g)], epilogue, run.y.columns(g * out, out));
    }
  }
  std::int64_t pairs(const Context& context, const PlanRows& rows) const override {
    return coordinate_kernels(context.device).pair_count(context, rows.map(map_).forward) /
           static_cast<std::int64_t>(groups_.size());
  }
  std::size_t bytes() const override {
    std::size_t sum = 0;
    for (const auto& group : groups_) sum += group->bytes();
    return sum;
  }

 private:
  std::string kind_;
  std::vector<std::shared_ptr<const PackedWeights>> groups_;
  std::optional<Array> bias_;
  Activation activation_;
  bool residual_last_;
  int map_;
  bool transposed_;
};

// Group g of weights [Cout, Cin / groups, height, width] as [taps, Cin / groups, Cout / groups].
Array group_weights(const Array& weight, std::int64_t groups, std::int64_t g) {
  const std::int64_t out = weight.dim(0) / groups, in = weight.dim(1), taps = weight.dim(2) * weight.dim(3);
  Array result({taps, in, out}, DType::kF32);
  const float* from = weight.data<float>() + g * out * in * taps;
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t t = 0; t < taps; ++t) result.data<float>()[(t * in + i) * out + o] = *from++;
  return result;
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
  Window centred = window;
  centred.semantics = Semantics::kFloor;
  centred.pad = {0, 0, 0, 0};
  // Half of the map of a centred window with odd sizes is the other half exchanged, which backends know of kFloor.
  const bool is_centred = fine == coarse && window.unit_stride() && centred.offset(0) == window.offset(0);
  return lowering.map(fine, coarse, is_centred ? centred : window);
}

std::string window_text(const Window& window) {
  const auto text = [](const Window::Extents& e, bool shorter) {
    return shorter && e[0] == e[1] ? std::to_string(e[0]) : std::to_string(e[0]) + "x" + std::to_string(e[1]);
  };
  return text(window.size, false) + (window.unit_stride() ? "" : " / " + text(window.stride, true));
}

void lower_image_convolution(const Draft& draft, Lowering& lowering, const Window& window, bool transposed) {
  const Device device = lowering.device();
  const Context context{device, nullptr, num_threads(), nullptr};
  const std::int64_t groups = draft.node->whole("groups");
  std::vector<std::shared_ptr<const PackedWeights>> packed;
  for (std::int64_t g = 0; g < groups; ++g) {
    const Array weight = group_weights(draft.weights.weight, groups, g).to(device);
    packed.push_back(sparse_conv_kernels(device).pack(context, weight.data<float>(), weight.dim(0), weight.dim(1),
                                                      weight.dim(2), lowering.dtype()));
  }
  const int in = lowering.domain(draft.inputs[0]), out = lowering.domain(draft.output);
  const int map = transposed ? pixel_map(lowering, out, in, window) : pixel_map(lowering, in, out, window);
  lowering.add(draft, std::make_unique<ImageMapStep>(draft, device, std::move(packed), map, window, transposed),
               draft.residual);
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
