#include <voxshift/streaming/frame_steps.h>
#include <voxshift/temporal_shift/kernels.h>
#include <voxshift/tensor/seconds.h>
#include <voxshift/video/kernels.h>

#include <algorithm>

namespace voxshift {
namespace {

// The widest border that a reader of the input takes; 0 where one of them reads plain rows.
std::int64_t border_of_input(const Plan& plan) {
  std::int64_t border = 0;
  for (const auto& step : plan.steps) {
    if (step->input != plan.input() && step->other != plan.input()) continue;
    const auto* window = dynamic_cast<const WindowStep*>(step.get());
    if (window == nullptr || !window->border() || step->other == plan.input()) return 0;
    border = std::max(border, *window->border());
  }
  return border;
}

}  // namespace

InputImage::InputImage(const Plan& plan, const FrameProfile& frames, Device device)
    : extent_(plan.domains[0].extent), frames_(frames), border_(border_of_input(plan)) {
  const std::int64_t channels = plan.value(plan.input()).channels;
  image_ = Array({extent_.height + 2 * border_, extent_.width + 2 * border_, channels}, plan.value(plan.input()).dtype,
                 device);
  runtime(device).fill(device, image_.memory(), 0, image_.bytes());
  pitch_ = image_.dim(1) * channels;
  const RowView pixels{image_.memory(), channels, image_.dim(0) * image_.dim(1), channels, image_.dtype()};
  first_ = pixels.rows(border_ * (image_.dim(1) + 1), 1).base;
}

void InputImage::set(const Context& context, const std::uint8_t* frame) {
  const std::array<float, 3> scale = frames_.scale(), shift = frames_.shift();
  video_kernels(context.device)
      .normalize(context, frame, extent_, scale.data(), shift.data(), {nullptr, extent_.pixels()}, first_,
                 image_.dtype(), pitch_);
}

ImageView InputImage::view() const {
  ImageView image;
  image.rows.dtype = image_.dtype();
  image.rows.add({first_, image_.dim(2), image_.dim(2)});
  image.border = border_;
  image.pitch = pitch_;
  return image;
}

FrameMemory::FrameMemory(const Plan& plan, Keep keep, Device device) : plan_(plan) {
  const int steps = static_cast<int>(plan.steps.size());
  std::vector<Buffer> buffers = plan.buffers;
  std::vector<std::int64_t> bytes;
  for (Buffer& buffer : buffers) {
    bytes.push_back(plan.domains.rows_of_image(buffer.domain) * buffer.channels *
                    static_cast<std::int64_t>(size_of(buffer.dtype)));
    if (keep == Keep::kAll) buffer.first = 0, buffer.last = steps;
  }
  for (const int output : plan.outputs) buffers[static_cast<std::size_t>(plan.value(output).buffer)].last = steps;
  bytes[static_cast<std::size_t>(plan.value(plan.input()).buffer)] = 0;
  memory_ = Array({places_.place(buffers, bytes)}, DType::kU8, device);
}

RowView FrameMemory::rows(int value) const {
  const PlannedValue& v = plan_.value(value);
  const std::int64_t channels = plan_.buffers[static_cast<std::size_t>(v.buffer)].channels;
  auto* base = static_cast<std::byte*>(const_cast<Array&>(memory_).memory()) + places_.offset(v.buffer);
  const RowView whole{base, channels, plan_.domains.rows_of_image(v.domain), channels, v.dtype};
  RowView rows = whole.columns(v.column, v.channels);
  rows.scales = v.scales;
  return rows;
}

FrameSteps::FrameSteps(const Plan& plan, const FrameProfile& frames, Device device)
    : plan_(plan), geometry_(plan, device), input_(plan, frames, device) {
  Arena scratch(device);
  const Context context{device, nullptr, 1, &scratch};
  geometry_.set_frames(1);
  geometry_.build(context, 0);
  for (const auto& step : plan.steps) {
    const PlannedValue& in = plan.value(step->input);
    const auto* window = dynamic_cast<const WindowStep*>(step.get());
    windows_.push_back(window);
    macs_.push_back(step->macs(geometry_.all(), step->pairs(context, geometry_.all()), in.channels,
                               plan.value(step->output).channels));
    const bool shifted = window != nullptr && window->shift();
    caches_.push_back(shifted ? Array({window->in().pixels(), window->shift()->fold(in.channels)}, in.dtype, device)
                              : Array());
  }
  reset();
}

void FrameSteps::reset() {
  for (Array& cache : caches_)
    if (cache.count() > 0) runtime(cache.device()).fill(cache.device(), cache.memory(), 0, cache.bytes());
}

StepPixels FrameSteps::all_of(std::size_t s) const {
  const std::int64_t hidden = windows_[s] != nullptr ? windows_[s]->hidden().pixels() : 0;
  return {{nullptr, pixels(step(s).output), true}, nullptr, hidden};
}

std::int64_t FrameSteps::macs(std::size_t s, const StepPixels& done) const {
  return windows_[s] != nullptr ? windows_[s]->macs_of(done.pixels.count, done.hidden_count) : macs_[s];
}

std::int64_t FrameSteps::dense_macs() const {
  std::int64_t sum = 0;
  for (std::size_t s = 0; s < size(); ++s) sum += macs(s, all_of(s));
  return sum;
}

ConstRowView FrameSteps::rows_of(int value, const FrameMemory& memory) const {
  if (value < 0) return {};
  if (value != plan_.input()) return memory.rows(value);
  const ChannelRun run = input_.view().rows.runs[0];
  return {run.base, run.row_stride, pixels(value), run.channels, plan_.value(value).dtype};
}

RowView FrameSteps::cached(std::size_t s) const {
  RowView rows = voxshift::rows_of(const_cast<Array&>(caches_[s]));  // which remember() alone writes
  rows.scales = plan_.value(step(s).input).scales;
  return rows;
}

void FrameSteps::run(const Context& context, std::size_t s, const FrameMemory& memory, const StepPixels& wanted,
                     const RowView& out) {
  if (!measured_) return run_step(context, s, memory, wanted, out);
  const auto start = Clock::now();
  run_step(context, s, memory, wanted, out);
  runtime(context.device).synchronize(context.device);
  costs_[s] = {wanted.pixels.count, macs(s, wanted), seconds_since(start)};
}

void FrameSteps::run_step(const Context& context, std::size_t s, const FrameMemory& memory, const StepPixels& wanted,
                          const RowView& out) const {
  const Step& step = this->step(s);
  if (windows_[s] == nullptr) {
    const PlanRows rows = geometry_.all();
    return step.run({context, rows, rows_of(step.input, memory), rows_of(step.other, memory), out, 0});
  }
  WindowRun run;
  run.residual = rows_of(step.other, memory);
  run.pixels = wanted.pixels;
  run.hidden = wanted.hidden;
  run.out = out;
  if (is_shifted(s)) {
    run.in.rows = shifted_runs(*windows_[s]->shift(), rows_of(step.input, memory), cached(s), {}, nullptr);
  } else if (step.input == plan_.input()) {
    run.in = input_.view();
  } else {
    run.in.rows = ChannelRuns(memory.rows(step.input));
  }
  windows_[s]->run_image(context, run);
}

void FrameSteps::remember(const Context& context, std::size_t s, const FrameMemory& memory, Pixels changed) {
  temporal_shift_kernels(context.device)
      .remember(context, rows_of(step(s).input, memory), changed.rows, changed.count, cached(s));
}

std::size_t FrameSteps::state_bytes() const {
  std::size_t sum = 0;
  for (const Array& cache : caches_) sum += cache.bytes();
  return sum;
}

}  // namespace voxshift
