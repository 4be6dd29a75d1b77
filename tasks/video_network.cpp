#include <voxshift/engine/network_dtype.h>
#include <voxshift/graph/half.h>
#include <voxshift/streaming/frame_runner.h>
#include <voxshift/tasks/video_network.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

using Kind = VideoStep::Kind;

std::string window_text(const Window2d& window) {
  const std::string kernel = std::to_string(window.kernel);
  return kernel + "x" + kernel + (window.stride > 1 ? " / " + std::to_string(window.stride) : "");
}

std::string kind_of(const VideoStep& step, const VideoPlan& plan) {
  switch (step.kind) {
    case Kind::kConv2d:
      if (!step.layer.window.pointwise()) return "conv " + window_text(step.layer.window);
      return plan.value(step.input).extent.pixels() == 1 ? "linear" : "pointwise";
    case Kind::kDepthwise:
      return "depthwise " + window_text(step.layer.window);
    case Kind::kFused:
      return step.block.first.window.pointwise() ? "expand-depthwise-project" : "conv-depthwise-project";
    case Kind::kMaxPool:
      return "max_pool " + window_text(step.window);
    case Kind::kMean:
      return "mean";
  }
  return {};
}

// Rows of a value in the frame before or after, none beyond the ends of the clip.
ConstRowView neighbour(FrameMemory& memory, int value, std::int64_t frame, std::int64_t frames) {
  return frame >= 0 && frame < frames ? ConstRowView(memory.rows(value, frame)) : ConstRowView{};
}

}  // namespace

VideoNetwork::VideoNetwork(const Model& model, Device device, std::optional<DType> dtype)
    : model_(model), device_(device) {
  check(model.profile().frames.has_value(), "[video] the model does not take frames");
  auto plan = std::make_shared<VideoPlan>(make_video_plan(model.graph(), model.parameters(), *model.profile().frames,
                                                          device, network_dtype("video", device, dtype)));
  for (const VideoStep& step : plan->steps) {
    const VideoValue& out = plan->value(step.output);
    layers_.push_back({step.name, kind_of(step, *plan), out.extent, plan->value(step.input).channels, out.channels,
                       step.macs, step.shift >= 0});
  }
  plan_ = std::move(plan);
}

DType VideoNetwork::dtype() const { return plan_->dtype; }

std::int64_t VideoNetwork::dense_macs() const {
  std::int64_t sum = 0;
  for (const VideoStep& step : plan_->steps) sum += step.macs;
  return sum;
}

bool VideoNetwork::bidirectional() const {
  return std::any_of(plan_->shifts.begin(), plan_->shifts.end(),
                     [](const VideoShift& shift) { return shift.shift.bidirectional; });
}

Array recognize_frames(const VideoNetwork& network, const Array& frames, int threads) {
  const VideoPlan& plan = network.plan();
  const Extent2d extent = plan.value(plan.input).extent;
  check(frames.dtype() == DType::kU8 && frames.rank() == 4 && frames.dim(0) >= 1 && frames.dim(1) == extent.height &&
            frames.dim(2) == extent.width && frames.dim(3) == 3 && frames.device() == Device::cpu(),
        "[recognize] frames expects u8 [T, ", extent.height, ", ", extent.width, ", 3] with T >= 1 on the CPU, found ",
        name(frames.dtype()), " ", frames.shape(), " on ", name(frames.device()));
  const std::int64_t count = frames.dim(0), classes = plan.value(plan.output).channels;
  Arena arena(network.device());
  const Context context{network.device(), nullptr, threads > 0 ? threads : num_threads(), &arena};
  InputImage input(plan, network.device());
  FrameMemory memory(plan, count, network.device());
  std::int64_t fold = 0;  // of the widest shift
  for (const VideoShift& shift : plan.shifts) fold = std::max(fold, shift.shift.fold(plan.value(shift.value).channels));
  Array zeros({fold}, plan.dtype, network.device());  // beyond both ends of the clip
  const Runtime& copies = runtime(network.device());
  copies.fill(network.device(), zeros.memory(), 0, zeros.bytes());
  const Array on_device = frames.to(network.device());

  for (const VideoStep& step : plan.steps) {
    for (std::int64_t t = 0; t < count; ++t) {
      StepData data;
      data.out = memory.rows(step.output, t);
      data.pixels.count = data.out.count;
      if (step.residual >= 0) data.residual = memory.rows(step.residual, t);
      if (step.input == plan.input) {
        input.set(context, on_device.data<std::uint8_t>() + t * extent.pixels() * 3);
        data.in = input.view();
      } else if (step.shift >= 0) {
        data.in.rows = shifted_runs(plan.shifts[static_cast<std::size_t>(step.shift)].shift, memory.rows(step.input, t),
                                    neighbour(memory, step.input, t - 1, count),
                                    neighbour(memory, step.input, t + 1, count), zeros.memory());
      } else {
        data.in.rows = ChannelRuns(memory.rows(step.input, t));
      }
      run_step(context, plan, step, data);
    }
  }
  Array logits({count, classes}, DType::kF32);
  copy_floats_to_host(network.device(), logits.data<float>(), memory.rows(plan.output).base, plan.dtype,
                      logits.count());
  return logits;
}

Array recognize_clip(const VideoNetwork& network, const Array& frames, int threads) {
  const Array logits = recognize_frames(network, frames, threads);
  Array mean({logits.dim(1)}, DType::kF32);
  for (std::int64_t c = 0; c < mean.count(); ++c) {
    double sum = 0;
    for (std::int64_t t = 0; t < logits.dim(0); ++t) sum += logits.data<float>()[t * logits.dim(1) + c];
    mean.data<float>()[c] = static_cast<float>(sum / static_cast<double>(logits.dim(0)));
  }
  return mean;
}

}  // namespace voxshift
