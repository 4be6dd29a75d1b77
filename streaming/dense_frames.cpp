#include <voxshift/streaming/dense_frames.h>

#include <utility>

namespace voxshift {

DenseFrames::DenseFrames(const Plan& plan, const FrameProfile& frames, Device device)
    : steps_(plan, frames, device), memory_(plan, FrameMemory::Keep::kAlive, device) {}

void DenseFrames::run(const Context& context, const std::uint8_t* frame) {
  steps_.input().set(context, frame);
  // A frame that failed leaves the arena as it was then: the next one is not recorded.
  const bool settled = std::exchange(has_run_, false);
  if (recorded_bytes_ != context.arena->bytes()) recording_ = nullptr;
  if (settled && recording_ == nullptr && !steps_.measured()) {
    recording_ = runtime(context.device).record(context, [this](const Context& recorded) { run_steps(recorded); });
    recorded_bytes_ = context.arena->bytes();
  }
  if (recording_ != nullptr && !steps_.measured()) {
    recording_->replay();
  } else {
    run_steps(context);
  }
  has_run_ = true;
}

ConstRowView DenseFrames::output(std::size_t output) const { return memory_.rows(steps_.plan().outputs[output]); }

void DenseFrames::run_steps(const Context& context) {
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const Step& step = steps_.step(s);
    steps_.run(context, s, memory_, steps_.all_of(s), memory_.rows(step.output));
    if (steps_.is_shifted(s)) steps_.remember(context, s, memory_);
  }
}

}  // namespace voxshift
