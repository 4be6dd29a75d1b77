#include <voxshift/engine/executor.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/graph/half.h>
#include <voxshift/graph/window_step.h>
#include <voxshift/tasks/video_network.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <array>
#include <utility>

namespace voxshift {
namespace {

// Of the domain's images; 1 x 1 of what was pooled over them.
Extent2d extent_of(const Plan& plan, int domain) {
  return plan.domains.is_images(domain) ? plan.domains[domain].extent : Extent2d{1, 1};
}

VideoLayer layer_of(const Plan& plan, const Step& step) {
  const Value &in = plan.value(step.input), &out = plan.value(step.output);
  VideoLayer layer{step.name, step.kind(), extent_of(plan, out.domain), in.channels, out.channels, 0, false};
  if (const auto* window = dynamic_cast<const WindowStep*>(&step); window != nullptr) {
    layer.macs = window->dense_macs();
    layer.shifted = window->shift().has_value();
  }
  return layer;
}

}  // namespace

VideoNetwork::VideoNetwork(const Model& model, Device device, std::optional<DType> dtype)
    : model_(model), device_(device) {
  check(model.profile().frames.has_value(), "[video] the model does not take frames");
  const Graph& graph = model.graph();
  check(graph.in_channels == 3, "[video] frames have 3 channels, the network takes ", graph.in_channels);
  check(graph.outputs.size() == 1, "[video] a network on frames has one output, found ", graph.outputs.size());
  extent_ = {model.profile().frames->height, model.profile().frames->width};
  plan_ = std::make_shared<const Plan>(
      make_plan(graph, model.parameters(), device, network_dtype("video", device, dtype), Passes::kAll, extent_));
  const Value& out = plan_->value(plan_->outputs.front());
  check(!plan_->domains.is_images(out.domain), "[video] the output \"", graph.output(),
        "\" is an image, expected one row per frame");
  classes_ = out.channels;
  for (const auto& step : plan_->steps) {
    layers_.push_back(layer_of(*plan_, *step));
    const auto* window = dynamic_cast<const WindowStep*>(step.get());
    bidirectional_ |= window != nullptr && window->shift() && window->shift()->bidirectional;
  }
}

DType VideoNetwork::dtype() const { return plan_->dtype; }

std::int64_t VideoNetwork::dense_macs() const {
  std::int64_t sum = 0;
  for (const VideoLayer& layer : layers_) sum += layer.macs;
  return sum;
}

std::int64_t VideoNetwork::shifts() const {
  return std::count_if(layers_.begin(), layers_.end(), [](const VideoLayer& layer) { return layer.shifted; });
}

Array recognize_frames(const VideoNetwork& network, const Array& frames, int threads) {
  const Extent2d extent = network.extent();
  check(frames.dtype() == DType::kU8 && frames.rank() == 4 && frames.dim(0) >= 1 && frames.dim(1) == extent.height &&
            frames.dim(2) == extent.width && frames.dim(3) == 3 && frames.device() == Device::cpu(),
        "[recognize] frames expects u8 [T, ", extent.height, ", ", extent.width, ", 3] with T >= 1 on the CPU, found ",
        name(frames.dtype()), " ", frames.shape(), " on ", name(frames.device()));
  const std::int64_t count = frames.dim(0);
  Executor executor(network.plan(), network.device(), threads);
  executor.set_detailed(false);
  executor.geometry().set_frames(count);
  executor.build();
  const FrameProfile& profile = *network.model().profile().frames;
  const std::array<float, 3> scale = profile.scale(), shift = profile.shift();
  const Array on_device = frames.to(network.device());
  Array pixels({count * extent.pixels(), 3}, network.dtype(), network.device());
  // The frames one below the other are one image.
  video_kernels(network.device())
      .normalize(executor.context(), on_device.data<std::uint8_t>(), {count * extent.height, extent.width},
                 scale.data(), shift.data(), {nullptr, pixels.dim(0)}, pixels.memory(), pixels.dtype(),
                 extent.width * 3);
  Array rows({count, network.classes()}, network.dtype(), network.device());
  executor.run(rows_of(std::as_const(pixels)), std::array{rows.memory()});
  Array logits({count, network.classes()}, DType::kF32);
  copy_floats_to_host(network.device(), logits.data<float>(), rows.memory(), rows.dtype(), logits.count());
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
