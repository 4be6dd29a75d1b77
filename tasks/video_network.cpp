#include <voxshift/engine/executor.h>
#include <voxshift/tasks/video_network.h>
#include <voxshift/tensor/half.h>
#include <voxshift/video/kernels.h>

#include <array>
#include <utility>

namespace voxshift {
namespace {

const FrameProfile& frames_of(const Model& model) {
  check(model.profile().frames.has_value(), "[video] the model does not take frames");
  return *model.profile().frames;
}

}  // namespace

VideoNetwork::VideoNetwork(const Model& model, Device device, std::optional<DType> dtype)
    : FrameNetwork(model.network(), frames_of(model), device, dtype), model_(model) {
  check(outputs().size() == 1, "[video] a network on frames has one output, found ", outputs().size());
  const PlannedValue& out = plan()->value(plan()->outputs.front());
  check(!plan()->domains.is_images(out.domain), "[video] the output \"", outputs().front(),
        "\" is an image, expected one row per frame");
  classes_ = out.channels;
  check(!model.classes().empty(), "[video] the model has no classes; a FrameStream or a Session runs its network");
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
  const std::array<float, 3> scale = network.frames().scale(), shift = network.frames().shift();
  const Array on_device = frames.to(network.device());
  const Plan& plan = *network.plan();
  Array pixels({count * extent.pixels(), 3}, plan.value(plan.input()).dtype, network.device());
  // The frames one below the other are one image.
  video_kernels(network.device())
      .normalize(executor.context(), on_device.data<std::uint8_t>(), {count * extent.height, extent.width},
                 scale.data(), shift.data(), {nullptr, pixels.dim(0)}, pixels.memory(), pixels.dtype(),
                 extent.width * 3);
  Array rows({count, network.classes()}, plan.value(plan.outputs.front()).dtype, network.device());
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
