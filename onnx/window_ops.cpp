// Conv, ConvTranspose, pooling, Pad.
#include <voxshift/onnx/window.h>

#include <algorithm>
#include <map>

namespace voxshift::onnx {
namespace {

PerAxis axes_of(std::int64_t vertical, std::int64_t horizontal) { return {vertical, horizontal}; }

/// Weights and bias of a convolution; the kernel that the node names, if it does, is theirs.
struct Kernel {
  Array weight;
  std::optional<Tensor> bias;
};

Kernel kernel_of(const Call& call, std::int64_t outputs_each) {
  const Constant& weight = call.constant(1, "the weight");
  call.expect(weight.shape().size() == 4 && !weight.is_whole(),
              "expects a weight of 4 axes, [.., .., height, width], found ", weight.shape(),
              ": convolutions along 1 or 3 axes are not converted");
  const std::vector<std::int64_t> shape = call.wholes("kernel_shape", {weight.shape()[2], weight.shape()[3]});
  call.expect(shape.size() == 2 && shape[0] == weight.shape()[2] && shape[1] == weight.shape()[3],
              "has a kernel_shape that is not that of its weight, ", weight.shape());
  Kernel kernel{weight.array, {}};
  if (call.given(2)) {
    const Constant& bias = call.constant(2, "the bias");
    call.expect(!bias.is_whole() && bias.count() == outputs_each, "expects a bias of ", outputs_each,
                " numbers, found ", bias.shape());
    kernel.bias = call.tensor("bias", 2, bias.array.reshaped({bias.count()}));
  }
  return kernel;
}

/// The taps of a window on a single pixel as a matrix [Cout, Cin], zero between groups.
Array matrix_at(const Array& weight, std::int64_t groups, std::int64_t y, std::int64_t x) {
  const std::int64_t outputs = weight.dim(0), each = weight.dim(1), height = weight.dim(2), width = weight.dim(3);
  Array matrix({outputs, each * groups}, DType::kF32);
  std::fill_n(matrix.data<float>(), matrix.count(), 0.0f);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t i = 0; i < each; ++i)
      matrix.data<float>()[o * each * groups + o / (outputs / groups) * each + i] =
          weight.data<float>()[((o * each + i) * height + y) * width + x];
  return matrix;
}

/// A convolution of what was pooled over the image: one tap of the window meets it, the others zeros.
Part convolve_row(const Call& call, const Part& row, const Kernel& kernel, const ImageWindow& window,
                  std::int64_t groups) {
  call.expect(window.out({1, 1}) == Extent2d{1, 1}, "makes images of a single pixel larger");
  const auto tap = [&](std::size_t axis, std::int64_t before) {
    call.expect(before % window.dilation[axis] == 0, "has taps beside its only pixel alone");
    return before / window.dilation[axis];
  };
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 24;
  const Shape& shape = kernel.weight.shape();
  call.expect(groups == 1 || row.channels <= kMostNumbers / shape[0], "has too many groups on a single pixel");
  Tensor weight{"weight", call.input_name(1), kernel.weight};
  weight.array = matrix_at(kernel.weight, groups, tap(0, window.pads.top), tap(1, window.pads.left));
  Part result = call.graph().product(row, call.name(), weight, kernel.bias);
  result.view.axes[1] = channel_axis(result.channels);
  return result;
}

void conv(Call& call) {
  Part image = call.image(0);
  const Constant& weight = call.constant(1, "the weight");
  const Kernel kernel = kernel_of(call, weight.array.dim(0));
  const Shape& shape = weight.shape();
  const std::int64_t groups = call.whole("group", 1);
  call.expect(groups >= 1 && shape[0] > 0 && shape[0] % groups == 0 && image.channels % groups == 0 &&
                  shape[1] == image.channels / groups,
              "has ", groups, " groups and a weight ", shape, " for ", image.channels, " channels");
  ImageWindow window = window_of(call, {shape[2], shape[3]}, image.is_image() ? image.extent : Extent2d{1, 1});
  if (!image.is_image()) return call.give(convolve_row(call, image, kernel, window, groups));
  const Extent2d out = window.out(image.extent);
  // Zeros that a Pad of its own has put around become the window's.
  const Node* maker = call.graph().maker_of(image.name);
  if (maker != nullptr && maker->op == "pad" && maker->whole("top") == maker->whole("bottom") &&
      maker->whole("left") == maker->whole("right") && window.pads.symmetric()) {
    window.pads.top = window.pads.bottom = window.pads.top + maker->whole("top");
    window.pads.left = window.pads.right = window.pads.left + maker->whole("left");
    image.name = maker->inputs[0];
  } else if (!window.pads.symmetric()) {
    image = padded(call, image, window.pads);
    window.pads = {};
  }
  NewNode node{"conv2d", {image.name}, {call.tensor("weight", 1, kernel.weight)}, {}};
  if (kernel.bias) node.tensors.push_back(*kernel.bias);
  node.attributes = {{"stride", axes_of(window.stride[0], window.stride[1])},
                     {"padding", axes_of(window.pads.top, window.pads.left)},
                     {"dilation", axes_of(window.dilation[0], window.dilation[1])},
                     {"groups", groups}};
  call.give(image_like(image, call.graph().add(call.name(), std::move(node)), shape[0], out));
}

void conv_transpose(Call& call) {
  const Part image = call.image(0);
  call.expect(image.is_image(), "makes images of a single pixel larger");
  const Constant& weight = call.constant(1, "the weight");
  const std::int64_t groups = call.whole("group", 1);
  call.expect(weight.shape().size() == 4 && groups >= 1 && weight.shape()[0] == image.channels &&
                  image.channels % groups == 0 && weight.shape()[1] > 0 && weight.shape()[1] < (1 << 20) &&
                  groups < (1 << 20),
              "has ", groups, " groups and a weight ", weight.shape(), " for ", image.channels, " channels");
  const std::int64_t outputs = weight.shape()[1] * groups;
  const Kernel kernel = kernel_of(call, outputs);
  const Extent2d large{1 << 20, 1 << 20};
  ImageWindow window = window_of(call, {weight.shape()[2], weight.shape()[3]}, large);
  const std::vector<std::int64_t> more = call.wholes("output_padding", {0, 0}), wanted = call.wholes("output_shape");
  const std::string automatic = call.word("auto_pad", "NOTSET");
  call.expect(wanted.empty() && (automatic == "NOTSET" || automatic == "VALID"),
              "has an output_shape or auto_pad, where only pads and output_padding are converted");
  call.expect(more.size() == 2 && more[0] >= 0 && more[1] >= 0, "expects an output_padding of two axes");
  // Pixels that are left out below and to the right only: as many of output_padding less.
  const auto side = [&](std::int64_t before, std::int64_t after, std::int64_t extra) {
    call.expect(after - before <= extra, "leaves out more pixels below or to the right than it adds");
    return extra - (after - before);
  };
  const std::int64_t below = side(window.pads.top, window.pads.bottom, more[0]),
                     right = side(window.pads.left, window.pads.right, more[1]);
  const Extent2d out{(image.extent.height - 1) * window.stride[0] - 2 * window.pads.top + window.span(0) + below,
                     (image.extent.width - 1) * window.stride[1] - 2 * window.pads.left + window.span(1) + right};
  NewNode node{"conv_transpose2d", {image.name}, {call.tensor("weight", 1, kernel.weight)}, {}};
  if (kernel.bias) node.tensors.push_back(*kernel.bias);
  node.attributes = {{"stride", axes_of(window.stride[0], window.stride[1])},
                     {"padding", axes_of(window.pads.top, window.pads.left)},
                     {"output_padding", axes_of(below, right)},
                     {"dilation", axes_of(window.dilation[0], window.dilation[1])},
                     {"groups", groups}};
  call.give(image_like(image, call.graph().add(call.name(), std::move(node)), outputs, out));
}

/// The mean or maximum over all of an image, one row per frame.
Part over_all_pixels(const Call& call, const Part& image, const char* op) {
  if (!image.is_image()) return image;
  Part row = image;
  row.name = call.graph().add(call.name(), {op, {image.name}});
  row.rows = Rows::kFrame;
  row.extent = {};
  row.view = frame_view(call.reading.batch, image.channels, true);
  return row;
}

std::array<std::int64_t, 2> pooling_kernel(const Call& call) {
  const std::vector<std::int64_t> kernel = call.wholes("kernel_shape");
  call.expect(kernel.size() == 2, "expects a kernel_shape of two axes, found ", kernel.size());
  return {kernel[0], kernel[1]};
}

void max_pool(Call& call) {
  Part image = call.image(0);
  call.expect(image.is_image(), "pools a single pixel");
  call.expect(call.node.output_size() == 1, "gives the indices of the largest values, which are not converted");
  ImageWindow window = window_of(call, pooling_kernel(call), image.extent);
  const Extent2d out = window.out(image.extent);
  const bool nonnegative = image.nonnegative;
  if (window.pads.none() && Extent2d{window.kernel[0], window.kernel[1]} == image.extent) {
    Part row = over_all_pixels(call, image, "max_pool");
    row.nonnegative = nonnegative;
    return call.give(std::move(row));
  }
  call.expect(window.kernel[0] == window.kernel[1] && window.stride[0] == window.stride[1],
              "has a window that is no square, or moves in other steps along the two axes");
  call.expect(window.dilation == std::array<std::int64_t, 2>{1, 1}, "has a dilation");
  const Sides all{window.pads.top, window.pads.top, window.pads.top, window.pads.top};
  if (window.pads != all || window.pads.top > window.kernel[0] / 2) {
    call.expect(image.nonnegative,
                "is padded otherwise on each side, which is converted where no number is negative, as "
                "after Relu: zeros stand outside then");
    image = padded(call, image, window.pads);
    window.pads = {};
  }
  Attributes attributes{{"kernel_size", window.kernel[0]}, {"stride", window.stride[0]}, {"padding", window.pads.top}};
  Part result = image_like(image, call.graph().add(call.name(), {"max_pool2d", {image.name}, {}, attributes}),
                           image.channels, out);
  result.nonnegative = nonnegative;
  call.give(std::move(result));
}

void average_pool(Call& call) {
  Part image = call.image(0);
  const std::array<std::int64_t, 2> kernel = pooling_kernel(call);
  if (!image.is_image()) {
    call.expect(kernel == std::array<std::int64_t, 2>{1, 1}, "pools a single pixel");
    return call.give(image);
  }
  ImageWindow window = window_of(call, kernel, image.extent);
  call.expect(window.dilation == std::array<std::int64_t, 2>{1, 1}, "has a dilation");
  const Extent2d out = window.out(image.extent);
  const bool nonnegative = image.nonnegative, counts = call.whole("count_include_pad", 0) != 0;
  Part result;
  if (window.pads.none() && Extent2d{kernel[0], kernel[1]} == image.extent) {
    result = over_all_pixels(call, image, "avg_pool");
  } else {
    if (!window.pads.symmetric() || window.pads.top > kernel[0] / 2 || window.pads.left > kernel[1] / 2) {
      call.expect(counts && call.whole("ceil_mode", 0) == 0,
                  "is padded otherwise on each side, which is converted with count_include_pad alone");
      image = padded(call, image, window.pads);
      window.pads = {};
    }
    Attributes attributes{{"kernel_size", axes_of(kernel[0], kernel[1])},
                          {"stride", axes_of(window.stride[0], window.stride[1])},
                          {"padding", axes_of(window.pads.top, window.pads.left)},
                          {"count_include_pad", counts}};
    result = image_like(image, call.graph().add(call.name(), {"avg_pool2d", {image.name}, {}, attributes}),
                        image.channels, out);
  }
  result.nonnegative = nonnegative;
  call.give(std::move(result));
}

void global_average_pool(Call& call) { call.give(over_all_pixels(call, call.image(0), "avg_pool")); }
void global_max_pool(Call& call) { call.give(over_all_pixels(call, call.image(0), "max_pool")); }

void pad(Call& call) {
  const Part image = call.image(0);
  const std::vector<std::int64_t> pads = call.listed("pads", 1).value_or(std::vector<std::int64_t>(8));
  call.expect(!call.given(3) && pads.size() == 8, "expects pads of 4 axes, found ", pads.size(), " numbers");
  for (const std::size_t at : {0, 1, 4, 5}) call.expect(pads[at] == 0, "pads the batch or the channels");
  constexpr std::int64_t kMostPad = 1 << 20;
  for (const std::int64_t side : pads)
    call.expect(side >= 0 && side <= kMostPad, "expects pads of 0 to ", kMostPad, ", found ", side);
  const Sides sides{pads[2], pads[3], pads[6], pads[7]};
  if (sides.none()) return call.give(image);
  call.expect(image.is_image(), "pads a single pixel");
  const std::string mode = call.word("mode", "constant");
  double value = call.number("value", 0);
  if (call.given(2)) value = call.constant(2, "the value").count() == 1 ? call.constant(2, "the value").number(0) : 1;
  call.expect(mode == "constant" && value == 0, "pads with something else than zeros");
  call.give(padded(call, image, sides));
}

}  // namespace

Handler find_window_op(const std::string& op) {
  static const std::map<std::string, Handler> ops{{"Conv", conv},
                                                  {"ConvTranspose", conv_transpose},
                                                  {"MaxPool", max_pool},
                                                  {"AveragePool", average_pool},
                                                  {"GlobalAveragePool", global_average_pool},
                                                  {"GlobalMaxPool", global_max_pool},
                                                  {"Pad", pad}};
  const auto found = ops.find(op);
  return found == ops.end() ? nullptr : found->second;
}

}  // namespace voxshift::onnx
