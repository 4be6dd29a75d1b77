#include <voxshift/streaming/frame_runner.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/video/kernels.h>

#include <utility>

namespace voxshift {
namespace {

// The only run of an image without a shift.
ConstRowView plain_rows(const ImageView& image, Extent2d extent) {
  const ChannelRun& run = image.rows.runs[0];
  return {run.base, run.row_stride, extent.pixels(), run.channels, image.rows.dtype};
}

}  // namespace

void run_step(const Context& context, const VideoPlan& plan, const VideoStep& step, const StepData& data) {
  const VideoKernels& kernels = video_kernels(context.device);
  const Extent2d extent = plan.value(step.input).extent;
  switch (step.kind) {
    case VideoStep::Kind::kConv2d:
      return kernels.conv2d(context, step.layer, extent, data.in, data.residual, data.pixels, data.out);
    case VideoStep::Kind::kDepthwise:
      return kernels.depthwise(context, step.layer, extent, plain_rows(data.in, extent), data.pixels, data.out);
    case VideoStep::Kind::kFused:
      return kernels.fused_block(context, step.block, data.in, data.residual, data.hidden, data.pixels, data.out);
    case VideoStep::Kind::kMaxPool:
      return kernels.max_pool(context, step.window, extent, plain_rows(data.in, extent), data.pixels, data.out);
    case VideoStep::Kind::kMean:
      return kernels.mean_rows(context, plain_rows(data.in, extent), data.out);
  }
}

InputImage::InputImage(const VideoPlan& plan, Device device) : plan_(plan) {
  const VideoValue& input = plan.value(plan.input);
  image_ = Array({input.extent.height + 2 * input.border, input.extent.width + 2 * input.border, input.channels},
                 plan.dtype, device);
  runtime(device).fill(device, image_.memory(), 0, image_.bytes());
  pitch_ = image_.dim(1) * input.channels;
  const RowView pixels{image_.memory(), input.channels, image_.dim(0) * image_.dim(1), input.channels, plan.dtype};
  first_ = pixels.rows(input.border * (image_.dim(1) + 1), 1).base;
}

void InputImage::set(const Context& context, const std::uint8_t* frame) {
  const Extent2d extent = plan_.value(plan_.input).extent;
  video_kernels(context.device)
      .normalize(context, frame, extent, plan_.scale.data(), plan_.shift.data(), {nullptr, extent.pixels()}, first_,
                 plan_.dtype, pitch_);
}

ImageView InputImage::view() const {
  const VideoValue& input = plan_.value(plan_.input);
  ImageView image;
  image.rows.dtype = plan_.dtype;
  image.rows.add({first_, input.channels, input.channels});
  image.border = input.border;
  image.pitch = pitch_;
  return image;
}

ShiftCaches::ShiftCaches(const VideoPlan& plan, Device device) : plan_(plan) {
  for (const VideoShift& shift : plan.shifts) {
    const VideoValue& value = plan.value(shift.value);
    caches_.emplace_back(Shape{value.extent.pixels(), shift.shift.fold(value.channels)}, plan.dtype, device);
  }
  reset();
}

void ShiftCaches::reset() {
  for (Array& cache : caches_) runtime(cache.device()).fill(cache.device(), cache.memory(), 0, cache.bytes());
}

ChannelRuns ShiftCaches::shifted(int shift, const ConstRowView& in) const {
  const auto s = static_cast<std::size_t>(shift);
  return shifted_runs(plan_.shifts[s].shift, in, rows_of(caches_[s]), {}, nullptr);
}

void ShiftCaches::remember(const Context& context, int shift, const ConstRowView& in, Pixels changed) {
  temporal_shift_kernels(context.device)
      .remember(context, in, changed.rows, changed.count, rows_of(caches_[static_cast<std::size_t>(shift)]));
}

std::size_t ShiftCaches::bytes() const {
  std::size_t sum = 0;
  for (const Array& cache : caches_) sum += cache.bytes();
  return sum;
}

FrameMemory::FrameMemory(const VideoPlan& plan, std::int64_t frames, Device device) : plan_(plan) {
  std::vector<Buffer> buffers;
  std::vector<std::int64_t> bytes;
  for (const VideoValue& value : plan.values) {
    buffers.push_back({0, value.channels, value.first, value.last});
    bytes.push_back(frames * value.extent.pixels() * value.channels * static_cast<std::int64_t>(size_of(plan.dtype)));
  }
  bytes[static_cast<std::size_t>(plan.input)] = 0;
  memory_ = Array({places_.place(buffers, bytes)}, DType::kU8, device);
}

RowView FrameMemory::rows(int value, std::int64_t frame) {
  const VideoValue& v = plan_.value(value);
  const std::int64_t pixels = v.extent.pixels();
  const RowView first{memory_.data<std::uint8_t>() + places_.offset(value), v.channels, pixels, v.channels,
                      plan_.dtype};
  return first.rows(frame * pixels, pixels);
}

DenseFrames::DenseFrames(const VideoPlan& plan, Device device)
    : plan_(plan), input_(plan, device), caches_(plan, device), memory_(plan, 1, device) {}

const void* DenseFrames::run(const Context& context, const std::uint8_t* frame) {
  input_.set(context, frame);
  // A frame that failed leaves the arena as it was then: the next one is not recorded.
  const bool settled = std::exchange(has_run_, false);
  if (recorded_bytes_ != context.arena->bytes()) recording_ = nullptr;
  if (settled && recording_ == nullptr) {
    recording_ = runtime(context.device).record(context, [this](const Context& recorded) { run_steps(recorded); });
    recorded_bytes_ = context.arena->bytes();
  }
  if (recording_ != nullptr) {
    recording_->replay();
  } else {
    run_steps(context);
  }
  has_run_ = true;
  return memory_.rows(plan_.output).base;
}

void DenseFrames::run_steps(const Context& context) {
  for (const VideoStep& step : plan_.steps) {
    StepData data;
    data.out = memory_.rows(step.output);
    data.pixels.count = data.out.count;
    if (step.residual >= 0) data.residual = memory_.rows(step.residual);
    if (step.input == plan_.input) {
      data.in = input_.view();
    } else {
      const RowView in = memory_.rows(step.input);
      data.in.rows = step.shift >= 0 ? caches_.shifted(step.shift, in) : ChannelRuns(in);
    }
    run_step(context, plan_, step, data);
    if (step.shift >= 0) caches_.remember(context, step.shift, memory_.rows(step.input));
  }
}

}  // namespace voxshift
