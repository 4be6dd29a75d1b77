#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/plan.h>
#include <voxshift/streaming/frame_network.h>
#include <voxshift/streaming/frame_steps.h>

#include <algorithm>

namespace voxshift {
namespace {

FrameLayer layer_of(const FrameSteps& steps, std::size_t s) {
  const Plan& plan = steps.plan();
  const Step& step = steps.step(s);
  const PlannedValue &in = plan.value(step.input), &out = plan.value(step.output);
  // What was pooled over an image is an image of one pixel.
  const Extent2d extent = plan.domains.is_images(out.domain) ? plan.domains[out.domain].extent : Extent2d{1, 1};
  return {step.name,           step.kind(), extent, in.channels, out.channels, steps.macs(s, steps.all_of(s)),
          steps.is_shifted(s), in.dtype};
}

}  // namespace

FrameNetwork::FrameNetwork(const Network& network, const FrameProfile& frames, Device device,
                           std::optional<DType> dtype)
    : device_(device), frames_(frames), outputs_(network.graph.outputs) {
  const GraphInput& input = network.graph.input();
  check(input.kind == InputKind::kFrames, "[video] the network does not take frames");
  check(input.channels == 3, "[video] frames have 3 channels, the network takes ", input.channels);
  plan_ = std::make_shared<const Plan>(make_plan(network.graph, network.parameters, device,
                                                 network_dtype("video", device, dtype, network.graph), Passes::kAll,
                                                 {extent()}));
  const FrameSteps steps(*plan_, frames_, device_);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    layers_.push_back(layer_of(steps, s));
    bidirectional_ |= steps.is_shifted(s) && steps.window(s)->shift()->bidirectional;
  }
}

DType FrameNetwork::dtype() const { return plan_->dtype; }

std::int64_t FrameNetwork::dense_macs() const {
  std::int64_t sum = 0;
  for (const FrameLayer& layer : layers_) sum += layer.macs;
  return sum;
}

std::int64_t FrameNetwork::shifts() const {
  return std::count_if(layers_.begin(), layers_.end(), [](const FrameLayer& layer) { return layer.shifted; });
}

}  // namespace voxshift
