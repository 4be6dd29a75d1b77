#include <voxshift/rows/kernels.h>
#include <voxshift/streaming/masked_frames.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <utility>

namespace voxshift {
namespace {

using Kind = VideoStep::Kind;

constexpr std::int64_t kAlignment = 64;  // bytes: one cache line

const Window2d& window_of(const VideoStep& step) {
  return step.kind == Kind::kMaxPool ? step.window
         : step.kind == Kind::kFused ? step.block.depthwise.window
                                     : step.layer.window;
}

void fill_bytes(Array& array, int byte) {
  runtime(array.device()).fill(array.device(), array.memory(), byte, array.bytes());
}

// What a step computes for `pixels` outputs, of a fused block with `hidden` pixels inside.
StepWork work_of(const VideoPlan& plan, const VideoStep& step, std::int64_t pixels, std::int64_t hidden) {
  return {step.macs_of(pixels, hidden), pixels + hidden, pixels * plan.value(step.output).channels};
}

}  // namespace

MaskedFrames::Mask::Mask(const VideoValue& value, Device device) : pixels({value.extent.pixels()}, DType::kU8, device) {
  fill_bytes(pixels, 0);
}

void MaskedFrames::Mask::clear() {
  if (active > 0) fill_bytes(pixels, 0);
  active = 0;
}

void MaskedFrames::Mask::set_all() {
  if (!all()) fill_bytes(pixels, 1);
  active = pixels.count();
}

void MaskedFrames::Mask::copy(const Mask& other) {
  if (other.active == 0) return clear();
  if (other.all()) return set_all();
  runtime(pixels.device()).copy(pixels.device(), data(), other.pixels.memory(), pixels.bytes());
  active = other.active;
}

MaskedFrames::MaskedFrames(const VideoPlan& plan, Device device, float frame_threshold, std::vector<float> thresholds,
                           bool always)
    : plan_(plan),
      always_(always),
      exact_(frame_threshold == 0 && std::all_of(thresholds.begin(), thresholds.end(), [](float t) { return t == 0; })),
      thresholds_(std::move(thresholds)),
      dense_(plan, device) {
  for (std::size_t c = 0; c < 3; ++c) frame_threshold_[c] = frame_threshold / plan.scale[c];
  std::int64_t numbers = 0, most_pixels = 0;
  const std::int64_t line = kAlignment / static_cast<std::int64_t>(size_of(plan.dtype));
  for (const VideoValue& value : plan.values) {
    const std::int64_t pixels = value.extent.pixels();
    masks_.emplace_back(value, device);
    places_.push_back(numbers);
    most_pixels = std::max(most_pixels, pixels);
    if (&value == &plan.value(plan.input)) continue;
    numbers += (pixels * value.channels + line - 1) / line * line;
  }
  for (const VideoStep& step : plan.steps) {
    dense_macs_ += step.macs;
    if (step.kind == Kind::kFused) most_pixels = std::max(most_pixels, step.block.hidden().pixels());
  }
  for (const VideoShift& shift : plan.shifts) previous_.emplace_back(plan.value(shift.value), device);
  frame_ = Array({plan.value(plan.input).extent.pixels() * 3}, DType::kU8, device);
  kept_ = Array({numbers}, plan.dtype, device);
  rows_ = Array({most_pixels}, DType::kI32, device);
  reached_ = Array({most_pixels}, DType::kU8, device);
  candidates_ = Array({most_pixels}, DType::kU8, device);
  reset();
}

void MaskedFrames::reset() {
  form_ = FrameForm::kDense;
  policy_.reset();
  dense_.reset();
  for (Mask& mask : masks_) mask.clear();
  for (Mask& mask : previous_) mask.clear();
}

RowView MaskedFrames::kept_rows(int value) {
  const VideoValue& v = plan_.value(value);
  const std::int64_t first = places_[static_cast<std::size_t>(value)];
  const RowView all{kept_.memory(), v.channels, v.extent.pixels(), v.channels, plan_.dtype};
  return all.columns(first, v.channels);
}

ConstRowView MaskedFrames::kept(int value) const { return const_cast<MaskedFrames*>(this)->kept_rows(value); }

std::size_t MaskedFrames::state_bytes() const {
  std::size_t sum = frame_.bytes() + kept_.bytes() + dense_.state_bytes();
  for (const Mask& mask : previous_) sum += mask.pixels.bytes();
  return sum;
}

std::size_t MaskedFrames::bytes() const {
  std::size_t sum = state_bytes() - dense_.state_bytes() + dense_.bytes();
  for (const Mask& mask : masks_) sum += mask.pixels.bytes();
  return sum + rows_.bytes() + reached_.bytes() + candidates_.bytes();
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

// Whether all pixels of something that the step reads have changed, and so every output may have.
bool MaskedFrames::reads_all(const VideoStep& step) const {
  const auto all = [&](int value) { return masks_[static_cast<std::size_t>(value)].all(); };
  return all(step.input) || (step.residual >= 0 && all(step.residual)) ||
         (step.shift >= 0 && previous_[static_cast<std::size_t>(step.shift)].all());
}

MaskedFrames::Work MaskedFrames::all_of(const VideoStep& step) const {
  const Extent2d hidden = step.kind == Kind::kFused ? step.block.hidden() : Extent2d{};
  return {{nullptr, plan_.value(step.output).extent.pixels()}, nullptr, hidden.pixels()};
}

MaskedFrames::Work MaskedFrames::find_work(const Context& context, const VideoStep& step) {
  const VideoKernels& kernels = video_kernels(context.device);
  const std::int64_t pixels = plan_.value(step.output).extent.pixels();
  const Extent2d hidden = step.kind == Kind::kFused ? step.block.hidden() : Extent2d{};
  const Work all = all_of(step);
  if (reads_all(step)) return all;
  const std::int64_t whole = skip_cost::compared(work_of(plan_, step, pixels, hidden.pixels()));
  const auto cheaper = [&](std::int64_t some, std::int64_t some_hidden) {
    return always_ || skip_cost::listed(work_of(plan_, step, some, some_hidden)) < whole;
  };
  Work some{{rows_.data<std::int32_t>(), find_candidates(context, step)}, nullptr, 0};
  if (some.pixels.count == 0) return some;
  if (some.pixels.count == pixels || !cheaper(some.pixels.count, std::min(some.pixels.count, hidden.pixels())))
    return all;
  const auto* candidates = candidates_.data<std::uint8_t>();
  if (step.kind == Kind::kFused) {
    some.hidden = reached_.data<std::uint8_t>();
    some.hidden_count = kernels.needed(context, window_of(step), hidden, candidates, reached_.data<std::uint8_t>());
    if (!cheaper(some.pixels.count, some.hidden_count)) return all;
  }
  row_kernels(context.device).list(context, candidates, pixels, rows_.data<std::int32_t>());
  return some;
}

// The shift's channels as the next frame sees them.
void MaskedFrames::remember(const Context& context, const VideoStep& step) {
  Mask& changed = mask(step.input);
  if (changed.all()) {
    dense_.caches().remember(context, step.shift, kept(step.input));
  } else if (changed.active > 0) {
    auto* rows = rows_.data<std::int32_t>();
    const std::int64_t count = row_kernels(context.device).list(context, changed.data(), changed.pixels.count(), rows);
    dense_.caches().remember(context, step.shift, kept(step.input), {rows, count});
  }
  previous_[static_cast<std::size_t>(step.shift)].copy(changed);
}

// The step's outputs at the pixels of `work`.
void MaskedFrames::compute(const Context& context, const VideoStep& step, const Work& work, const RowView& out) {
  StepData data;
  data.out = out;
  data.pixels = work.pixels;
  data.hidden = work.hidden;
  if (step.residual >= 0) data.residual = kept(step.residual);
  if (step.input == plan_.input) {
    data.in = dense_.input().view();
  } else {
    data.in.rows =
        step.shift >= 0 ? dense_.caches().shifted(step.shift, kept(step.input)) : ChannelRuns(kept(step.input));
  }
  run_step(context, plan_, step, data);
}

const void* MaskedFrames::logits() {
  return form_ == FrameForm::kDense ? dense_.memory().rows(plan_.output).base : kept(plan_.output).base;
}

std::int64_t MaskedFrames::run(const Context& context, const std::uint8_t* frame, bool key, double change) {
  form_ = always_ && form_ != FrameForm::kDense ? FrameForm::kCompared : policy_.next(change);
  if (form_ == FrameForm::kFilling) return fill(context, frame);
  if (form_ == FrameForm::kCompared) {
    take(context, frame, key);
    if (always_ || !hopeless()) return compare(context, key);
    policy_.stop();
    form_ = FrameForm::kDense;
  }
  return run_dense(context, frame);
}

std::int64_t MaskedFrames::run_dense(const Context& context, const std::uint8_t* frame) {
  runtime(context.device).copy(context.device, frame_.memory(), frame, frame_.bytes());
  mask(plan_.input).set_all();
  dense_.run(context, frame);
  return dense_macs_;
}

std::int64_t MaskedFrames::fill(const Context& context, const std::uint8_t* frame) {
  runtime(context.device).copy(context.device, frame_.memory(), frame, frame_.bytes());
  mask(plan_.input).set_all();
  dense_.input().set(context, frame);
  std::int64_t numbers = 0;
  for (const VideoStep& step : plan_.steps) {
    const RowView out = kept_rows(step.output);
    compute(context, step, {{nullptr, out.count}, nullptr, 0}, out);
    mask(step.output).set_all();
    if (step.shift >= 0) remember(context, step);
    numbers += out.count * out.channels;
  }
  policy_.add(skip_cost::compared({dense_macs_, 0, numbers}), dense_macs_);
  return dense_macs_;
}

// Takes the pixels that changed.
void MaskedFrames::take(const Context& context, const std::uint8_t* frame, bool key) {
  Mask& taken = mask(plan_.input);
  const std::array<float, 3> none{};
  taken.active = video_kernels(context.device)
                     .changed_pixels(context, frame, frame_.data<std::uint8_t>(), taken.pixels.count(),
                                     key ? none.data() : frame_threshold_.data(), taken.data());
}

// Whether the pixels that were taken tell that every step will compute nearly all of its outputs.
bool MaskedFrames::hopeless() const {
  const Mask& taken = masks_[static_cast<std::size_t>(plan_.input)];
  return exact_ && 10 * taken.active >= 9 * taken.pixels.count();
}

std::int64_t MaskedFrames::compare(const Context& context, bool key) {
  const VideoKernels& kernels = video_kernels(context.device);
  const Mask& taken = mask(plan_.input);
  if (taken.active > 0 || key) dense_.input().set(context, frame_.data<std::uint8_t>());
  std::int64_t macs = 0, cost = skip_cost::search(taken.pixels.count());
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const VideoStep& step = plan_.steps[s];
    const VideoValue& out = plan_.value(step.output);
    Mask& changed = mask(step.output);
    const Work work = key ? all_of(step) : find_work(context, step);
    if (work.pixels.count > 0) {
      const RowView values{dense_.memory().any_value(), out.channels, work.pixels.count, out.channels, plan_.dtype};
      compute(context, step, work, values);
      changed.active = kernels.commit(context, values, work.pixels, key ? 0.0f : thresholds_[s], kept_rows(step.output),
                                      changed.data());
      const StepWork done = work_of(plan_, step, work.pixels.count, work.hidden_count);
      macs += done.macs;
      cost += work.pixels.rows == nullptr ? skip_cost::compared(done) : skip_cost::listed(done);
    } else {
      changed.clear();
    }
    cost += skip_cost::search(out.extent.pixels());
    if (step.shift >= 0) remember(context, step);
  }
  if (!key) policy_.add(cost, dense_macs_);  // a key frame is dense because it has to be
  return macs;
}

}  // namespace voxshift
