#include <voxshift/engine/plan.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/streaming/frame_stream.h>
#include <voxshift/streaming/masked_frames.h>
#include <voxshift/tensor/half.h>
#include <voxshift/tensor/seconds.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace voxshift {
namespace {

// The thresholds that the options ask for.
SkipThresholds thresholds_of(const FrameNetwork& network, const StreamOptions& options) {
  SkipThresholds thresholds;
  if (options.skip == Skip::kThreshold) {
    thresholds.frame = options.threshold;
    for (const FrameLayer& layer : network.layers()) thresholds.layers[layer.name] = options.threshold;
  }
  if (options.skip == Skip::kAuto) {
    check(options.thresholds.has_value(), "[skip] the model has no thresholds, calibrate it first");
    thresholds = *options.thresholds;
    if (!options.whole_frames) thresholds.whole_frame = 0;
  }
  check_valid(thresholds);
  return thresholds;
}

std::vector<float> by_step(const SkipThresholds& thresholds, const std::vector<FrameLayer>& layers) {
  std::vector<float> result;
  for (const FrameLayer& layer : layers) {
    const auto found = thresholds.layers.find(layer.name);
    result.push_back(found != thresholds.layers.end() ? found->second : 0.0f);
  }
  for (const auto& [layer, threshold] : thresholds.layers)
    check(std::any_of(layers.begin(), layers.end(), [&name = layer](const FrameLayer& l) { return l.name == name; }),
          "[skip] the network has no layer \"", layer, "\"");
  return result;
}

}  // namespace

struct FrameStream::Impl {
  Impl(const FrameNetwork& n, const StreamOptions& o)
      : network(n), interval(o.key_frame_interval), pool(o.threads.pool()), whole_frame(0), arena(n.device()) {
    check(!n.bidirectional(), "[stream] the network's shift looks at the next frame: it takes clips, not streams");
    check(interval >= 0, "[stream] key_frame_interval expects 0 or more, found ", interval);
    const SkipThresholds thresholds = thresholds_of(n, o);
    cost.dense_macs = n.dense_macs();
    for (const int output : n.plan()->outputs) {
      const PlannedValue& value = n.plan()->value(output);
      outputs.emplace_back(static_cast<std::size_t>(n.plan()->domains.rows_of_image(value.domain) * value.channels));
    }
    if (o.skip == Skip::kOff) {
      dense = std::make_unique<DenseFrames>(*n.plan(), n.frames(), n.device());
      changed.assign(static_cast<std::size_t>(extent().pixels()), 1);
    } else {
      whole_frame = thresholds.whole_frame;
      masked = std::make_unique<MaskedFrames>(*n.plan(), n.frames(), n.device(), thresholds.frame,
                                              by_step(thresholds, n.layers()), o.always_compare);
      if (thresholds.frame > 0) last_frame = Array({extent().height, extent().width, 3}, DType::kU8, n.device());
      changed.resize(static_cast<std::size_t>(extent().pixels()));
    }
    if (n.device() == Device::cpu()) return;
    const Shape shape{extent().height, extent().width, 3};
    if (memory().shares_memory(n.device())) {
      shared_frame = Array::shared(shape, DType::kU8, n.device());
      uploaded = *shared_frame.seen_from(n.device());
    } else {
      uploaded = Array(shape, DType::kU8, n.device());
    }
  }

  Extent2d extent() const { return network.extent(); }
  Context context() { return {network.device(), nullptr, pool->threads(), &arena, pool.get()}; }

  void check_frame(const Array& frame) const {
    check(frame.dtype() == DType::kU8 && frame.rank() == 3 && frame.dim(0) == extent().height &&
              frame.dim(1) == extent().width && frame.dim(2) == 3 && frame.device() == Device::cpu(),
          "[stream] a frame expects u8 [", extent().height, ", ", extent().width, ", 3] on the CPU, found ",
          name(frame.dtype()), " ", frame.shape(), " on ", name(frame.device()));
  }

  // The last processed frame. Without a threshold all of its pixels were kept.
  const std::uint8_t* last() const {
    return last_frame.count() > 0 ? std::as_const(last_frame).data<std::uint8_t>() : masked->kept_frame();
  }

  // Every cache of the shift holds the scene: a change takes a frame to get past each of them.
  bool warm() const { return since_cut > network.shifts(); }

  // The frame's bytes on the network's device.
  const std::uint8_t* on_device(const Array& frame) {
    if (uploaded.count() == 0) return frame.data<std::uint8_t>();
    if (shared_frame.count() > 0)  // the last frame is done: its outputs are here
      std::copy_n(frame.data<std::uint8_t>(), frame.count(), shared_frame.data<std::uint8_t>());
    else
      memory().copy_from_host(network.device(), uploaded.memory(), frame.memory(), frame.bytes());
    return uploaded.data<std::uint8_t>();
  }

  FrameSteps& steps() { return dense ? dense->steps() : masked->steps(); }

  const Runtime& memory() const { return runtime(network.device()); }

  void run(const std::uint8_t* frame);

  FrameNetwork network;
  std::int64_t interval;
  std::shared_ptr<ThreadPool> pool;
  float whole_frame;
  Arena arena;
  std::unique_ptr<DenseFrames> dense;  // one of the two
  std::unique_ptr<MaskedFrames> masked;
  Array uploaded;                           // the frame, where the network is not on the CPU
  Array shared_frame;                       // its memory, where the device reads the host's in place
  Array last_frame;                         // where the frame has a threshold: the last one processed
  std::int64_t since_key = -1;              // processed frames since the last key frame; -1: no frame yet
  std::int64_t since_cut = 0;               // processed frames since the last reset or cut
  std::vector<std::uint8_t> changed;        // what changed_pixels() gives
  std::vector<std::vector<float>> outputs;  // after the last frame
  FrameCost cost;
};

void FrameStream::Impl::run(const std::uint8_t* frame) {
  const std::int64_t dense_macs = cost.dense_macs;
  cost = {};
  cost.dense_macs = dense_macs;
  if (dense) {
    dense->run(context(), frame);
    cost.key_frame = cost.dense = true;
    cost.macs = dense_macs;
    cost.changed_pixels = extent().pixels();
  } else {
    cost.key_frame = since_key < 0 || (interval > 0 && since_key + 1 >= interval);
    FrameDifference difference;
    if (since_key >= 0) {
      difference = video_kernels(network.device()).frame_difference(context(), frame, last(), extent());
      const bool cut = difference.mean > kCutDifference;
      if (cut) since_cut = 0;
      cost.skipped = warm() && whole_frame > 0 && difference.block <= whole_frame;
      cost.key_frame = (cost.key_frame || cut) && !cost.skipped;
    }
    if (cost.skipped) return;
    ++since_cut;
    cost.macs = masked->run(context(), frame, cost.key_frame, difference.mean);
    cost.dense = cost.key_frame || masked->form() != FrameForm::kCompared;
    cost.changed_pixels = masked->changed_count();
    if (last_frame.count() > 0) memory().copy(network.device(), last_frame.memory(), frame, last_frame.bytes());
    since_key = cost.key_frame ? 0 : since_key + 1;
  }
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const ConstRowView rows = dense ? dense->output(o) : masked->output(o);
    copy_floats_to_host(network.device(), outputs[o].data(), rows.base, rows.dtype, rows.count * rows.channels);
  }
}

FrameStream::FrameStream(const FrameNetwork& network, const StreamOptions& options)
    : impl_(std::make_unique<Impl>(network, options)) {}
FrameStream::~FrameStream() = default;
FrameStream::FrameStream(FrameStream&&) noexcept = default;
FrameStream& FrameStream::operator=(FrameStream&&) noexcept = default;

const FrameCost& FrameStream::push(const Array& frame) {
  Impl& s = *impl_;
  s.check_frame(frame);
  const auto start = Clock::now();
  try {
    s.arena.reset();  // what a frame that failed has left
    if (s.steps().measured()) s.steps().begin();
    s.run(s.on_device(frame));
    s.arena.reset();
  } catch (...) {
    reset();  // some layers have seen the frame, some have not
    throw;
  }
  s.cost.seconds = seconds_since(start);
  return s.cost;
}

std::span<const float> FrameStream::values(std::size_t output) const { return impl_->outputs[output]; }

Array FrameStream::output(const std::string& name) const {
  const std::vector<std::string>& names = impl_->network.outputs();
  const auto found = std::find(names.begin(), names.end(), name);
  check(found != names.end(), "[stream] the network has no output \"", name, "\"");
  const auto o = static_cast<std::size_t>(found - names.begin());
  const Plan& plan = *impl_->network.plan();
  const PlannedValue& value = plan.value(plan.outputs[o]);
  const Extent2d extent = plan.domains[value.domain].extent;
  return Array::from(impl_->outputs[o],
                     extent.pixels() > 0 ? Shape{extent.height, extent.width, value.channels} : Shape{value.channels});
}

void FrameStream::reset() {
  Impl& s = *impl_;
  if (s.dense) s.dense->reset();
  if (s.masked) s.masked->reset();
  s.since_key = -1;
  s.since_cut = 0;
  s.cost = {.dense_macs = s.cost.dense_macs};
}

std::span<const std::uint8_t> FrameStream::changed_pixels() const {
  Impl& s = *impl_;
  if (s.dense) return s.changed;
  if (s.cost.skipped) {
    std::fill(s.changed.begin(), s.changed.end(), std::uint8_t{0});
  } else {
    s.memory().copy_to_host(s.network.device(), s.changed.data(), s.masked->changed().memory(), s.changed.size());
  }
  return s.changed;
}

const FrameCost& FrameStream::cost() const { return impl_->cost; }

void FrameStream::report_layers(bool wanted) {
  impl_->steps().measure(wanted);
  impl_->steps().begin();
}

RunReport FrameStream::report() const {
  Impl& s = *impl_;
  const Plan& plan = *s.network.plan();
  RunReport report;
  report.macs = s.cost.macs;
  report.network_seconds = s.cost.seconds;
  report.voxels = s.cost.changed_pixels;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = *plan.steps[i];
    const PlannedValue &in = plan.value(step.input), &out = plan.value(step.output);
    const StepCost cost = s.steps().measured() ? s.steps().costs()[i] : StepCost{};
    report.layers.push_back({step.name, step.kind(), cost.pixels, in.channels, out.channels, cost.pixels, cost.macs,
                             cost.seconds, in.dtype});
  }
  return report;
}

std::size_t FrameStream::state_bytes() const {
  const Impl& s = *impl_;
  return s.dense ? s.dense->state_bytes() : s.masked->state_bytes() + s.last_frame.bytes();
}

std::size_t FrameStream::bytes() const {
  const Impl& s = *impl_;
  const std::size_t frames = s.dense ? s.dense->bytes() : s.masked->bytes() + s.last_frame.bytes();
  return frames + s.arena.bytes() + s.uploaded.bytes() + s.changed.size() +
         std::accumulate(s.outputs.begin(), s.outputs.end(), std::size_t{0},
                         [](std::size_t sum, const auto& values) { return sum + values.size() * sizeof(float); });
}

const FrameNetwork& FrameStream::network() const { return impl_->network; }
int FrameStream::threads() const { return impl_->pool->threads(); }

Array FrameStream::layer_output(const std::string& layer) const {
  const Impl& s = *impl_;
  check(s.masked != nullptr, "[stream] layers of a dense stream share memory, their outputs are not kept");
  const std::vector<FrameLayer>& layers = s.network.layers();
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const FrameLayer& l) { return l.name == layer; });
  check(found != layers.end(), "[stream] the network has no layer \"", layer, "\"");
  check(s.masked->form() != FrameForm::kDense,
        "[stream] no outputs of layers were kept: there was no frame yet, or comparing did not pay for the last one");
  const Step& step = *s.network.plan()->steps[static_cast<std::size_t>(found - layers.begin())];
  const ConstRowView kept = s.masked->kept(step.output);
  Array out({found->out.height, found->out.width, found->out_channels}, DType::kF32);
  Array rows({kept.count, kept.channels}, kept.dtype, s.network.device());  // without the columns beside it
  const Context context{s.network.device(), nullptr, 1, nullptr};
  row_kernels(context.device).affine(context, kept, nullptr, nullptr, {}, {}, rows_of(rows));
  copy_floats_to_host(context.device, out.data<float>(), rows.memory(), rows.dtype(), out.count());
  return out;
}

}  // namespace voxshift
