// Ops on images and clips, and synthetic video.
#include <pybind11/stl.h>
#include <voxshift/synth/video.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/video/conv2d.h>
#include <voxshift/video/conv2d_backward.h>
#include <voxshift/video/masked_layer.h>
#include <voxshift/video/pool2d.h>

#include <memory>

#include "arrays.h"
#include "bindings.h"
#include "guarded.h"
#include "options.h"
#include "pickling.h"

namespace py = pybind11;
using namespace py::literals;

namespace voxshift::python {
namespace {

using MaskedStep = Guarded<MaskedLayer>;
using FrameShift = Guarded<StreamingShift>;
using Stride = std::optional<std::int64_t>;

Conv2dOptions conv2d_options(std::int64_t stride, std::int64_t padding, std::int64_t groups,
                             const OptionalWord& activation, float negative_slope) {
  return {stride, padding, groups, activation_of("conv2d", activation, negative_slope)};
}

// As torch: the stride of pooling is the kernel's size unless given.
Window2d pool_window(std::int64_t kernel_size, Stride stride, std::int64_t padding) {
  return {kernel_size, stride.value_or(kernel_size), padding};
}

Array copy_of(const Array& array) { return Array::from(array.values<float>(), array.shape()); }

py::tuple clip(std::uint64_t seed, std::int64_t frames, std::int64_t height, std::int64_t width,
               double frames_per_second, std::optional<int> label, bool panning_camera, double noise) {
  check(label.value_or(0) >= 0, "[synth_video] label expects 0 or more, found ", label.value_or(0));
  const SynthVideoOptions options{frames, height, width, frames_per_second, label.value_or(-1), panning_camera, noise};
  SynthClip made = [&] {
    const py::gil_scoped_release without_gil;
    return synth_video(seed, options);
  }();
  return py::make_tuple(array_of(std::move(made.frames), {made.count, made.height, made.width, 3}), made.label);
}

constexpr const char* kConv2dDoc = R"(act(conv(x, weight) + bias), as torch.nn.functional.conv2d but channels last.

x [H, W, Cin], or a stack [N, H, W, Cin], float32 or, on CUDA, float16 or bfloat16, to which the weight is rounded and whose
sums are float32; weight float32 [Cout, Cin / groups, k, k] as in torch; bias float32 [Cout]. Gives [H', W', Cout] or
[N, H', W', Cout] of x's dtype, H' = floor((H + 2 padding - k) / stride) + 1. groups = Cin is depthwise. activation as in conv. Raises
ValueError for other shapes, dtypes or options.)";

constexpr const char* kConv2dBackwardDoc =
    R"(Gradients of conv2d for grad, of its result's shape and dtype, that of the result before activation.

Gives (input of x's shape and dtype, weight float32 [Cout, Cin / groups, k, k]); input_gradient and weight_gradient say which, None
for the other. A bias has the sum of grad over all pixels. Raises ValueError for other shapes, dtypes or options.)";

constexpr const char* kMaxPoolDoc =
    R"(Maximum over the window's pixels inside the image, as torch.nn.functional.max_pool2d but channels last.

x float32 [H, W, C]; gives float32 [H', W', C]. stride: kernel_size unless given. Raises ValueError.)";

constexpr const char* kAvgPoolDoc = R"(Mean over the window's pixels inside the image, channels last.

As torch.nn.functional.avg_pool2d with count_include_pad=False; x, result and options as in max_pool2d. Raises
ValueError.)";

constexpr const char* kShiftDoc = R"(The temporal shift of clips (TSM, Lin et al., ICCV 2019), channels last.

x: [N * n_segment, .., C] float32 or, on CUDA, float16 or bfloat16, the frames of each clip one after the other; gives the same shape. With
fold = C // shift_div, bidirectional: channels [0, fold) come from the next frame, [fold, 2 fold) from the previous one;
else channels [0, fold) come from the previous frame. What comes from outside the clip is 0. Raises ValueError.)";

constexpr const char* kShiftBackwardDoc = R"(Gradient of x, of grad's shape, for grad, that of temporal_shift.

Every channel goes back to the frame it came from: the same shift of the clip played backwards. n_segment, shift_div and
bidirectional as given to temporal_shift. Raises ValueError.)";

constexpr const char* kStreamingShiftDoc = R"(The temporal shift in one direction, frame by frame (TSM's online mode).

It keeps the first C // shift_div channels of the last frame. Threads that use one object take turns. Raises ValueError
for shift_div below 1.)";

constexpr const char* kMaskedDoc = R"(A layer that computes only where its input changed.

It holds the last input and the output it propagated last. With threshold 0 the output is the dense one, bit by bit;
else each kept value is within the threshold of the layer applied to the kept input, at any time. Make one with
MaskedLayer.conv2d, .max_pool2d or .avg_pool2d. Threads that use one object take turns. Source: the truncation of
DeltaCNN (Parger et al., CVPR 2022), with absolute values in place of differences.)";

constexpr const char* kMaskedConvDoc =
    R"(A convolution of images [height, width, Cin]; weight, bias and options as in conv2d.

Raises ValueError for shapes that do not fit and for a threshold that is negative or not a number.)";

constexpr const char* kMaskedPushDoc = R"(The output pixels that changed by more than the threshold in some channel.

changed: coordinates (0, y, x), features [N, Cin], the new values of these pixels; the input is 0 elsewhere before the
first push, whose output is dense. Gives the same of the output, with its extent as shape. Raises ValueError for pixels
outside the image and other channels.)";

constexpr const char* kSynthVideoDoc =
    R"(A clip of a textured shape in motion over a textured background: (frames, label).

frames uint8 [T, height, width, 3], RGB; label an index of synth_video_classes(), by the seed unless given: no single
frame tells the motions apart. panning_camera: the background moves, too. noise: standard deviation of the sensor's
noise in grey levels. The same seed gives the same bits. Raises ValueError for options out of range.)";

void bind_images(py::module_& m) {
  m.def(
      "conv2d",
      [](const Array& x, const Array& weight, const std::optional<Array>& bias, std::int64_t stride,
         std::int64_t padding, std::int64_t groups, const OptionalWord& activation, float negative_slope) {
        return conv2d(x, weight, bias, conv2d_options(stride, padding, groups, activation, negative_slope));
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0, "groups"_a = 1,
      "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"), WithoutGil(), kConv2dDoc);
  m.def(
      "conv2d_backward",
      [](const Array& x, const Array& weight, const Array& grad, std::int64_t stride, std::int64_t padding,
         std::int64_t groups, bool input_gradient, bool weight_gradient) {
        const auto gradients =
            conv2d_backward(x, weight, grad, {stride, padding, groups, {}}, {input_gradient, weight_gradient});
        return std::pair(gradients.input, gradients.weight);
      },
      "x"_a, "weight"_a, "grad"_a, "stride"_a = 1, "padding"_a = 0, "groups"_a = 1, "input_gradient"_a = true,
      "weight_gradient"_a = true, WithoutGil(), kConv2dBackwardDoc);
  m.def(
      "max_pool2d",
      [](const Array& x, std::int64_t kernel_size, Stride stride, std::int64_t padding) {
        return max_pool2d(x, pool_window(kernel_size, stride, padding));
      },
      "x"_a, "kernel_size"_a, "stride"_a = py::none(), "padding"_a = 0, WithoutGil(), kMaxPoolDoc);
  m.def(
      "avg_pool2d",
      [](const Array& x, std::int64_t kernel_size, Stride stride, std::int64_t padding) {
        return avg_pool2d(x, pool_window(kernel_size, stride, padding));
      },
      "x"_a, "kernel_size"_a, "stride"_a = py::none(), "padding"_a = 0, WithoutGil(), kAvgPoolDoc);
  m.def("global_avg_pool2d", &global_avg_pool2d, "x"_a, WithoutGil(),
        "Mean over all pixels: float32 [C] of x float32 [H, W, C]. Raises ValueError.");
}

void bind_masked_layer(py::module_& m) {
  const auto pool = [](const auto& make) {
    return [make](std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t kernel_size,
                  Stride stride, std::int64_t padding, float threshold) {
      const Window2d window = pool_window(kernel_size, stride, padding);
      return std::make_unique<MaskedStep>(make(Extent2d{height, width}, channels, window, threshold, Device::cpu()));
    };
  };
  py::class_<MaskedStep> type(m, "MaskedLayer", kMaskedDoc);
  refuse_pickling(type, kInAStream);
  type.def_static(
          "conv2d",
          [](std::int64_t height, std::int64_t width, const Array& weight, const std::optional<Array>& bias,
             std::int64_t stride, std::int64_t padding, std::int64_t groups, const OptionalWord& activation,
             float negative_slope, float threshold) {
            return std::make_unique<MaskedStep>(
                MaskedLayer::conv2d({height, width}, weight, bias,
                                    conv2d_options(stride, padding, groups, activation, negative_slope), threshold));
          },
          "height"_a, "width"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0, "groups"_a = 1,
          "activation"_a = py::none(), py::arg_v("negative_slope", 0.01f, "0.01"), py::arg_v("threshold", 0.0f, "0.0"),
          WithoutGil(), kMaskedConvDoc)
      .def_static("max_pool2d", pool(MaskedLayer::max_pool2d), "height"_a, "width"_a, "channels"_a, "kernel_size"_a,
                  "stride"_a = py::none(), "padding"_a = 0, py::arg_v("threshold", 0.0f, "0.0"), WithoutGil(),
                  "Pooling of images [height, width, channels]; options as in vs.max_pool2d. Raises ValueError.")
      .def_static("avg_pool2d", pool(MaskedLayer::avg_pool2d), "height"_a, "width"_a, "channels"_a, "kernel_size"_a,
                  "stride"_a = py::none(), "padding"_a = 0, py::arg_v("threshold", 0.0f, "0.0"), WithoutGil(),
                  "Pooling of images [height, width, channels]; options as in vs.avg_pool2d. Raises ValueError.")
      .def(
          "push",
          [](MaskedStep& step, const SparseTensor& changed) {
            return step.use([&](MaskedLayer& layer) { return layer.push(changed); });
          },
          "changed"_a, WithoutGil(), kMaskedPushDoc)
      .def(
          "reset", [](MaskedStep& step) { step.use([](MaskedLayer& layer) { layer.reset(); }); }, WithoutGil(),
          "Forgets everything: the next push is dense again.")
      .def(
          "output",
          [](MaskedStep& step) { return step.use([](MaskedLayer& layer) { return copy_of(layer.output()); }); },
          WithoutGil(), "A copy of the kept output, float32 [H', W', Cout].")
      .def(
          "macs", [](MaskedStep& step) { return step.use([](MaskedLayer& layer) { return layer.macs(); }); },
          WithoutGil(), "Multiply-adds of the last push; 0 for pooling.")
      .def(
          "dense_macs",
          [](MaskedStep& step) { return step.use([](MaskedLayer& layer) { return layer.dense_macs(); }); },
          WithoutGil(), "Multiply-adds of a dense push; 0 for pooling.");
}

void bind_shift(py::module_& m) {
  m.def(
      "temporal_shift",
      [](const Array& x, std::int64_t n_segment, std::int64_t shift_div, bool bidirectional) {
        return temporal_shift(x, n_segment, {shift_div, bidirectional});
      },
      "x"_a, "n_segment"_a, "shift_div"_a = 8, "bidirectional"_a = true, WithoutGil(), kShiftDoc);
  m.def(
      "temporal_shift_backward",
      [](const Array& grad, std::int64_t n_segment, std::int64_t shift_div, bool bidirectional) {
        return temporal_shift_backward(grad, n_segment, {shift_div, bidirectional});
      },
      "grad"_a, "n_segment"_a, "shift_div"_a = 8, "bidirectional"_a = true, WithoutGil(), kShiftBackwardDoc);
  py::class_<FrameShift> type(m, "StreamingShift", kStreamingShiftDoc);
  refuse_pickling(type, kInAStream);
  type.def(py::init([](std::int64_t shift_div) { return std::make_unique<FrameShift>(StreamingShift(shift_div)); }),
           "shift_div"_a = 8)
      .def(
          "push",
          [](FrameShift& shift, const Array& x) { return shift.use([&](StreamingShift& s) { return s.push(x); }); },
          "x"_a, WithoutGil(),
          "x float32 [.., C] of one frame, channels last: a new array, channels [0, C // shift_div) those of\n"
          "the frame before, 0 for the first one. Raises ValueError for another shape than the frames before.")
      .def(
          "reset", [](FrameShift& shift) { shift.use([](StreamingShift& s) { s.reset(); }); }, WithoutGil(),
          "Forgets the last frame, and with it the shape.");
}

}  // namespace

void bind_video(py::module_& m) {
  bind_images(m);
  bind_masked_layer(m);
  bind_shift(m);
  m.def("synth_video", &clip, "seed"_a, "frames"_a = 32, "height"_a = 224, "width"_a = 224,
        "frames_per_second"_a = 25.0, "label"_a = py::none(), "panning_camera"_a = false, "noise"_a = 2.0,
        kSynthVideoDoc);
  m.def("synth_video_classes", &synth_video_classes, "The motions of synth_video by label, such as \"left\".");
}

}  // namespace voxshift::python
