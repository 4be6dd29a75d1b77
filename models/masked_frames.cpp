#include <voxshift/models/masked_frames.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

using Kind = VideoStep::Kind;

constexpr std::int64_t kAlignment = 64;  // bytes: one cache line

// From this fraction of the pixels on a list of them costs more than it saves.
bool nearly_all(std::int64_t some, std::int64_t all) { return 5 * some >= 4 * all; }

const Window2d& window_of(const VideoStep& step) {
  return step.kind == Kind::kMaxPool ? step.window
         : step.kind == Kind::kFused ? step.block.depthwise.window
                                     : step.layer.window;
}

void fill(Array& array, int byte) { runtime(array.device()).fill(array.device(), array.memory(), byte, array.bytes()); }

}  // namespace

MaskedFrames::Mask::Mask(const VideoValue& value, Device device) : pixels({value.extent.pixels()}, DType::kU8, device) {
  fill(pixels, 0);
}

void MaskedFrames::Mask::clear() {
  if (active > 0) fill(pixels, 0);
  active = 0;
}

void MaskedFrames::Mask::copy(const Mask& other) {
  if (other.active == 0) return clear();
  runtime(pixels.device()).copy(pixels.device(), data(), other.pixels.memory(), pixels.bytes());
  active = other.active;
}

MaskedFrames::MaskedFrames(const VideoPlan& plan, Device device, float frame_threshold, std::vector<float> thresholds)
    : plan_(plan), thresholds_(std::move(thresholds)), input_(plan, device), caches_(plan, device) {
  for (std::size_t c = 0; c < 3; ++c) frame_threshold_[c] = frame_threshold / plan.scale[c];
  std::int64_t numbers = 0, most_pixels = 0, most_numbers = 0;
  const std::int64_t line = kAlignment / static_cast<std::int64_t>(size_of(plan.dtype));
  for (const VideoValue& value : plan.values) {
    const std::int64_t pixels = value.extent.pixels();
    masks_.emplace_back(value, device);
    places_.push_back(numbers);
    most_pixels = std::max(most_pixels, pixels);
    if (&value == &plan.value(plan.input)) continue;
    numbers += (pixels * value.channels + line - 1) / line * line;
    most_numbers = std::max(most_numbers, pixels * value.channels);
  }
  for (const VideoStep& step : plan.steps)
    if (step.kind == Kind::kFused) most_pixels = std::max(most_pixels, step.block.hidden().pixels());
  for (const VideoShift& shift : plan.shifts) previous_.emplace_back(plan.value(shift.value), device);
  frame_ = Array({plan.value(plan.input).extent.pixels() * 3}, DType::kU8, device);
  kept_ = Array({numbers}, plan.dtype, device);
  rows_ = Array({most_pixels}, DType::kI32, device);
  reached_ = Array({most_pixels}, DType::kU8, device);
  candidates_ = Array({most_pixels}, DType::kU8, device);
  outputs_ = Array({most_numbers}, plan.dtype, device);
  reset();
}

void MaskedFrames::reset() {
  fresh_ = true;
  caches_.reset();
  for (Mask& mask : masks_) mask.clear();
  for (Mask& mask : previous_) mask.clear();
  fill(kept_, 0);
}

RowView MaskedFrames::kept_rows(int value) {
  const VideoValue& v = plan_.value(value);
  const std::int64_t first = places_[static_cast<std::size_t>(value)];
  const RowView all{kept_.memory(), v.channels, v.extent.pixels(), v.channels, plan_.dtype};
  return all.columns(first, v.channels);
}

ConstRowView MaskedFrames::kept(int value) const { return const_cast<MaskedFrames*>(this)->kept_rows(value); }

std::size_t MaskedFrames::state_bytes() const {
  std::size_t sum = frame_.bytes() + kept_.bytes() + caches_.bytes();
  for (const Mask& mask : previous_) sum += mask.pixels.bytes();
  return sum;
}

std::size_t MaskedFrames::bytes() const {
  std::size_t sum = state_bytes() + input_.bytes();
  for (const Mask& mask : masks_) sum += mask.pixels.bytes();
  return sum + rows_.bytes() + reached_.bytes() + candidates_.bytes() + outputs_.bytes();
}

// Marks the outputs of a step that read something changed; returns their number.
std::int64_t MaskedFrames::find_candidates(const Context& context, const VideoStep& step) {
  const VideoKernels& kernels = video_kernels(context.device);
  const Runtime& memory = runtime(context.device);
  auto* candidates = candidates_.data<std::uint8_t>();
  auto* reached = reached_.data<std::uint8_t>();
  const Extent2d in = plan_.value(step.input).extent;
  const std::int64_t outputs = plan_.value(step.output).extent.pixels();

  const std::uint8_t* changed = mask(step.input).data();
  std::int64_t count = active(step.input);
  if (step.shift >= 0) {  // channels of the last frame changed where that frame did
    Mask& previous = previous_[static_cast<std::size_t>(step.shift)];
    if (previous.active > 0) {
      memory.copy(context.device, reached, changed, static_cast<std::size_t>(in.pixels()));
      count = kernels.unite(context, reached, previous.data(), in.pixels());
      changed = reached;
    }
  }
  if (count == 0) {
    memory.fill(context.device, candidates, 0, static_cast<std::size_t>(outputs));
  } else if (step.kind == Kind::kMean) {
    memory.fill(context.device, candidates, 1, 1);
    count = 1;
  } else if (step.kind == Kind::kFused && !step.block.first.window.pointwise()) {
    kernels.reached(context, step.block.first.window, in, changed, reached);
    count = kernels.reached(context, window_of(step), step.block.hidden(), reached, candidates);
  } else {
    count = kernels.reached(context, window_of(step), in, changed, candidates);
  }
  if (step.residual >= 0 && active(step.residual) > 0)
    count = kernels.unite(context, candidates, mask(step.residual).data(), outputs);
  return count;
}

MaskedFrames::Work MaskedFrames::find_work(const Context& context, const VideoStep& step, bool dense) {
  const VideoKernels& kernels = video_kernels(context.device);
  const Extent2d out = plan_.value(step.output).extent;
  const Extent2d hidden = step.kind == Kind::kFused ? step.block.hidden() : Extent2d{};
  Work all{{nullptr, out.pixels()}, nullptr, hidden.pixels()};
  if (dense) return all;
  const std::int64_t count = find_candidates(context, step);
  if (count > 0 && nearly_all(count, out.pixels())) return all;
  Work some{{rows_.data<std::int32_t>(), count}, nullptr, 0};
  if (count == 0) return some;
  const auto* candidates = candidates_.data<std::uint8_t>();
  row_kernels(context.device).list(context, candidates, out.pixels(), rows_.data<std::int32_t>());
  if (step.kind == Kind::kFused) {
    some.hidden = reached_.data<std::uint8_t>();
    some.hidden_count = kernels.needed(context, window_of(step), hidden, candidates, reached_.data<std::uint8_t>());
  }
  return some;
}

// The shift's channels as the next frame sees them.
void MaskedFrames::remember(const Context& context, const VideoStep& step) {
  Mask& changed = mask(step.input);
  if (changed.active > 0) {
    auto* rows = rows_.data<std::int32_t>();
    const std::int64_t count = row_kernels(context.device).list(context, changed.data(), changed.pixels.count(), rows);
    caches_.remember(context, step.shift, kept(step.input), {rows, count});
  }
  previous_[static_cast<std::size_t>(step.shift)].copy(changed);
}

// Takes the pixels that changed.
void MaskedFrames::take(const Context& context, const std::uint8_t* frame, bool dense) {
  auto* kept = frame_.data<std::uint8_t>();
  Mask& changed = mask(plan_.input);
  if (fresh_) {
    runtime(context.device).copy(context.device, kept, frame, frame_.bytes());
    changed.active = changed.pixels.count();
    fill(changed.pixels, 1);
  } else {
    const std::array<float, 3> none{};
    changed.active = video_kernels(context.device)
                         .changed_pixels(context, frame, kept, changed.pixels.count(),
                                         dense ? none.data() : frame_threshold_.data(), changed.data());
  }
  if (changed.active > 0 || dense) input_.set(context, kept);
  fresh_ = false;
}

// The step's outputs at the pixels of `work`, into outputs_.
ConstRowView MaskedFrames::compute(const Context& context, const VideoStep& step, const Work& work) {
  const std::int64_t channels = plan_.value(step.output).channels;
  StepData data;
  data.out = {outputs_.memory(), channels, work.pixels.count, channels, plan_.dtype};
  data.pixels = work.pixels;
  data.hidden = work.hidden;
  if (step.residual >= 0) data.residual = kept(step.residual);
  if (step.input == plan_.input) {
    data.in = input_.view();
  } else {
    data.in.rows = step.shift >= 0 ? caches_.shifted(step.shift, kept(step.input)) : ChannelRuns(kept(step.input));
  }
  run_step(context, plan_, step, data);
  return data.out;
}

std::int64_t MaskedFrames::run(const Context& context, const std::uint8_t* frame, bool dense) {
  dense = dense || fresh_;
  take(context, frame, dense);
  std::int64_t macs = 0;
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const VideoStep& step = plan_.steps[s];
    Mask& changed = mask(step.output);
    const Work work = find_work(context, step, dense);
    if (work.pixels.count > 0) {
      const ConstRowView values = compute(context, step, work);
      changed.active = video_kernels(context.device)
                           .commit(context, values, work.pixels, dense ? 0.0f : thresholds_[s], kept_rows(step.output),
                                   changed.data());
      macs += step.macs_of(work.pixels.count, work.hidden_count);
    } else {
      changed.clear();
    }
    if (step.shift >= 0) remember(context, step);
  }
  return macs;
}

}  // namespace voxshift
