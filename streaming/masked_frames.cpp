#include <voxshift/rows/kernels.h>
#include <voxshift/streaming/masked_frames.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <set>
#include <utility>

namespace voxshift {
namespace {

void fill_bytes(Array& array, int byte) {
  if (array.bytes() > 0) runtime(array.device()).fill(array.device(), array.memory(), byte, array.bytes());
}

}  // namespace

MaskedFrames::Mask::Mask(std::int64_t count, Device device) : pixels({count}, DType::kU8, device) {
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

MaskedFrames::MaskedFrames(const Plan& plan, const FrameProfile& frames, Device device, float frame_threshold,
                           std::vector<float> thresholds, bool always)
    : plan_(plan),
      always_(always),
      exact_(frame_threshold == 0 && std::all_of(thresholds.begin(), thresholds.end(), [](float t) { return t == 0; })),
      thresholds_(std::move(thresholds)),
      dense_(plan, frames, device),
      kept_(plan, FrameMemory::Keep::kAll, device) {
  for (std::size_t c = 0; c < 3; ++c) frame_threshold_[c] = frame_threshold / frames.scale()[c];
  std::int64_t most_pixels = 0;
  for (const Buffer& buffer : plan.buffers) {
    masks_.emplace_back(plan.domains.rows_of_image(buffer.domain), device);
    most_pixels = std::max(most_pixels, masks_.back().pixels.count());
  }
  std::set<int> written;
  for (std::size_t s = 0; s < steps().size(); ++s) {
    const Step& step = steps().step(s);
    is_first_.push_back(written.insert(plan.value(step.output).buffer).second);
    previous_.emplace_back(steps().is_shifted(s) ? steps().pixels(step.input) : 0, device);
    most_pixels = std::max(most_pixels, steps().all_of(s).hidden_count);
  }
  dense_macs_ = steps().dense_macs();
  frame_ = Array({steps().pixels(plan.input()) * 3}, DType::kU8, device);
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

// What a step computes, as its cost depends on it.
StepWork MaskedFrames::work_of(std::size_t s, const StepPixels& done) const {
  const std::int64_t channels = plan_.value(steps().step(s).output).channels;
  return {steps().macs(s, done), done.pixels.count + done.hidden_count, done.pixels.count * channels};
}

// Whether all pixels of something that the step reads have changed, and so every output may have.
bool MaskedFrames::reads_all(std::size_t s) const {
  const Step& step = steps().step(s);
  return mask(step.input).all() || (step.other >= 0 && mask(step.other).all()) ||
         (previous_[s].pixels.count() > 0 && previous_[s].all());
}

bool MaskedFrames::reads_changes(std::size_t s) const {
  const Step& step = steps().step(s);
  return mask(step.input).active > 0 || (step.other >= 0 && mask(step.other).active > 0) || previous_[s].active > 0;
}

// Marks the outputs of a step that read something changed; returns their number.
std::int64_t MaskedFrames::find_candidates(const Context& context, std::size_t s) {
  const VideoKernels& kernels = video_kernels(context.device);
  const Runtime& memory = runtime(context.device);
  const Step& step = steps().step(s);
  const WindowStep& window = *steps().window(s);
  auto* candidates = candidates_.data<std::uint8_t>();
  auto* reached = reached_.data<std::uint8_t>();

  const std::uint8_t* changed = mask(step.input).data();
  std::int64_t count = mask(step.input).active;
  if (Mask& previous = previous_[s]; previous.active > 0) {  // channels of the last frame changed where that frame did
    memory.copy(context.device, reached, changed, static_cast<std::size_t>(window.in().pixels()));
    count = kernels.unite(context, reached, previous.data(), window.in().pixels());
    changed = reached;
  }
  if (count == 0) {
    memory.fill(context.device, candidates, 0, static_cast<std::size_t>(window.out().pixels()));
  } else if (window.front() != nullptr && !window.front()->pointwise()) {
    kernels.reached(context, *window.front(), window.in(), changed, reached);
    count = kernels.reached(context, window.window(), window.hidden(), reached, candidates);
  } else {
    count = kernels.reached(context, window.window(), window.in(), changed, candidates);
  }
  if (step.other >= 0 && mask(step.other).active > 0)
    count = kernels.unite(context, candidates, mask(step.other).data(), window.out().pixels());
  return count;
}

StepPixels MaskedFrames::find_work(const Context& context, std::size_t s) {
  const VideoKernels& kernels = video_kernels(context.device);
  const StepPixels all = steps().all_of(s);
  const WindowStep* window = steps().window(s);
  if (!reads_changes(s)) return {};
  if (window == nullptr || reads_all(s)) return all;
  const std::int64_t whole = skip_cost::compared(work_of(s, all));
  const auto cheaper = [&](const StepPixels& some) { return always_ || skip_cost::listed(work_of(s, some)) < whole; };
  StepPixels some{{rows_.data<std::int32_t>(), find_candidates(context, s)}, nullptr, 0};
  if (some.pixels.count == 0) return some;
  some.hidden_count = std::min(some.pixels.count, all.hidden_count);
  if (some.pixels.count == all.pixels.count || !cheaper(some)) return all;
  const auto* candidates = candidates_.data<std::uint8_t>();
  if (window->front() != nullptr) {
    some.hidden = reached_.data<std::uint8_t>();
    some.hidden_count =
        kernels.needed(context, window->window(), window->hidden(), candidates, reached_.data<std::uint8_t>());
    if (!cheaper(some)) return all;
  }
  row_kernels(context.device).list(context, candidates, all.pixels.count, rows_.data<std::int32_t>());
  return some;
}

// Takes what differs from the kept values by more than the threshold. Buffers that several steps write changed where
// one of their values did.
void MaskedFrames::commit(const Context& context, std::size_t s, const RowView& values, const StepPixels& work,
                          float threshold) {
  const VideoKernels& kernels = video_kernels(context.device);
  const int output = steps().step(s).output;
  Mask& changed = mask(output);
  auto* into = is_first_[s] ? changed.data() : candidates_.data<std::uint8_t>();
  const std::int64_t count = kernels.commit(context, values, work.pixels, threshold, kept_.rows(output), into);
  changed.active = is_first_[s] ? count : kernels.unite(context, changed.data(), into, changed.pixels.count());
}

// The shift's channels as the next frame sees them.
void MaskedFrames::remember(const Context& context, std::size_t s) {
  Mask& changed = mask(steps().step(s).input);
  if (changed.all()) {
    steps().remember(context, s, kept_);
  } else if (changed.active > 0) {
    auto* rows = rows_.data<std::int32_t>();
    const std::int64_t count = row_kernels(context.device).list(context, changed.data(), changed.pixels.count(), rows);
    steps().remember(context, s, kept_, {rows, count});
  }
  previous_[s].copy(changed);
}

ConstRowView MaskedFrames::output(std::size_t output) const {
  return form_ == FrameForm::kDense ? dense_.output(output) : kept(plan_.outputs[output]);
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
  mask(plan_.input()).set_all();
  dense_.run(context, frame);
  return dense_macs_;
}

std::int64_t MaskedFrames::fill(const Context& context, const std::uint8_t* frame) {
  runtime(context.device).copy(context.device, frame_.memory(), frame, frame_.bytes());
  mask(plan_.input()).set_all();
  steps().input().set(context, frame);
  std::int64_t numbers = 0;
  for (std::size_t s = 0; s < steps().size(); ++s) {
    const int output = steps().step(s).output;
    const RowView out = kept_.rows(output);
    steps().run(context, s, kept_, steps().all_of(s), out);
    mask(output).set_all();
    if (steps().is_shifted(s)) remember(context, s);
    numbers += out.count * out.channels;
  }
  policy_.add(skip_cost::compared({dense_macs_, 0, numbers}), dense_macs_);
  return dense_macs_;
}

// Takes the pixels that changed.
void MaskedFrames::take(const Context& context, const std::uint8_t* frame, bool key) {
  Mask& taken = mask(plan_.input());
  const std::array<float, 3> none{};
  taken.active = video_kernels(context.device)
                     .changed_pixels(context, frame, frame_.data<std::uint8_t>(), taken.pixels.count(),
                                     key ? none.data() : frame_threshold_.data(), taken.data());
}

// Whether the pixels that were taken tell that every step will compute nearly all of its outputs.
bool MaskedFrames::hopeless() const {
  const Mask& taken = mask(plan_.input());
  return exact_ && 10 * taken.active >= 9 * taken.pixels.count();
}

std::int64_t MaskedFrames::compare(const Context& context, bool key) {
  const Mask& taken = mask(plan_.input());
  if (taken.active > 0 || key) steps().input().set(context, frame_.data<std::uint8_t>());
  std::int64_t macs = 0, cost = skip_cost::search(taken.pixels.count());
  for (std::size_t s = 0; s < steps().size(); ++s) {
    const PlannedValue& out = plan_.value(steps().step(s).output);
    Mask& changed = mask(steps().step(s).output);
    const StepPixels work = key ? steps().all_of(s) : find_work(context, s);
    if (work.pixels.count > 0) {
      const RowView values{
          dense_.memory().any_value(), out.channels, work.pixels.count, out.channels, out.dtype, out.scales};
      steps().run(context, s, kept_, work, values);
      commit(context, s, values, work, key ? 0.0f : thresholds_[s]);
      const StepWork done = work_of(s, work);
      macs += done.macs;
      cost += work.pixels.rows == nullptr ? skip_cost::compared(done) : skip_cost::listed(done);
    } else if (is_first_[s]) {
      changed.clear();
    }
    cost += skip_cost::search(changed.pixels.count());
    if (steps().is_shifted(s)) remember(context, s);
  }
  if (!key) policy_.add(cost, dense_macs_);  // a key frame is dense because it has to be
  return macs;
}

}  // namespace voxshift
