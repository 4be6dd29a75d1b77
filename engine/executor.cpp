#include <voxshift/engine/executor.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/result_size.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace voxshift {
namespace {

// Rows of steps that run together: 4 MB at 256 channels. From 1024 rows to all of them SPVCNN takes the same time.
constexpr std::int64_t kJoinedRows = 4096;

}  // namespace

Executor::Executor(std::shared_ptr<const Plan> plan, Device device, const Threads& threads)
    : device_(device),
      pool_(threads.pool()),
      plan_(std::move(plan)),
      scratch_(device),
      features_(device),
      geometry_(*plan_, device),
      memory_(plan_->selections.size() + 1),
      bytes_(plan_->buffers.size()),
      external_(plan_->buffers.size()) {
  for (const auto& step : plan_->steps) {
    const PlannedValue &in = plan_->value(step->input), &out = plan_->value(step->output);
    report_.layers.push_back({step->name, step->kind(), 0, in.channels, out.channels, 0, 0, 0, in.dtype});
  }
}

void Executor::reset() {
  scratch_.reset();
  geometry_.reset();
  features_.reset();
}

void Executor::build() {
  report_.maps_seconds = 0;
  build_stage(0);
}

void Executor::build_stage(int stage) {
  const auto start = Clock::now();
  geometry_.build(context(), stage);
  for (const Buffer& buffer : plan_->buffers)
    if (plan_->stage(buffer.domain) == stage)
      check_size("run", "rows of a value:", geometry_.rows(buffer.domain).count, buffer.channels);
  finish_phase();
  report_.maps_seconds += seconds_since(start);
}

void Executor::select(int stage) {
  const auto start = Clock::now();
  const Selection& selection = plan_->selections[static_cast<std::size_t>(stage) - 1];
  geometry_.select(context(), selection.domain, rows_of(selection.scores));
  report_.maps_seconds += seconds_since(start);
  build_stage(stage);
}

void Executor::finish_phase() const {
  if (detailed_) runtime(device_).synchronize(device_);
}

// A GPU has no cache for rows to stay in, and wants few large kernels.
std::int64_t Executor::joined_rows() const {
  return device_.kind == Device::Kind::kCpu ? kJoinedRows : std::numeric_limits<std::int64_t>::max();
}

RowView Executor::output_memory(std::size_t output) {
  const std::int64_t rows = output_rows(output), channels = output_channels(output);
  const DType dtype = output_dtype(output);
  const auto bytes = static_cast<std::size_t>(rows * channels) * size_of(dtype);
  return {geometry_.arena().allocate_bytes(bytes), channels, rows, channels, dtype};
}

RowView Executor::rows_of(int index) const {
  return rows_of(index, {0, geometry_.rows(plan_->value(index).domain).count});
}

RowView Executor::rows_of(int index, const Span& span) const {
  const PlannedValue& v = plan_->value(index);
  const Buffer& buffer = plan_->buffers[static_cast<std::size_t>(v.buffer)];
  RowView whole{nullptr, buffer.channels, span.count, buffer.channels, v.dtype};
  if (const RowView& external = external_[static_cast<std::size_t>(v.buffer)]; external.channels > 0) {
    whole.base = external.base;
    whole.row_stride = external.row_stride;
  } else {
    const StageMemory& stage = memory_[static_cast<std::size_t>(plan_->stage(buffer.domain))];
    whole.base = stage.base + stage.plan.offset(v.buffer);
  }
  RowView rows = whole.rows(buffer.partial ? 0 : span.first, span.count).columns(v.column, v.channels);
  rows.scales = v.scales;
  return rows;
}

// In the value's dtype: rounded where it is another.
void Executor::place_input(int index, const ConstRowView& in) {
  const PlannedValue& value = plan_->value(index);
  // Never a step's output.
  RowView placed{const_cast<void*>(in.base), in.row_stride, in.count, in.channels, in.dtype};
  if (in.dtype != value.dtype) {
    auto* rounded = features_.allocate_bytes(static_cast<std::size_t>(in.count * in.channels) * size_of(value.dtype));
    placed = {rounded, in.channels, in.count, in.channels, value.dtype};
    row_kernels(device_).affine(context(), in, nullptr, nullptr, {}, {}, placed);
  }
  external_[static_cast<std::size_t>(value.buffer)] = placed;
}

// Values on the domains of one stage share memory by their lifetimes: no rows of later ones are known yet.
void Executor::place_stage(int stage, const OutputMemory& memory) {
  for (std::size_t o = 0; o < outputs(); ++o) {
    if (plan_->stage(output_domain(o)) != stage) continue;
    const PlannedValue& value = plan_->value(plan_->outputs[o]);
    external_[static_cast<std::size_t>(value.buffer)] = {memory(o), value.channels, output_rows(o), value.channels,
                                                         value.dtype};
  }
  for (std::size_t b = 0; b < bytes_.size(); ++b) {
    const Buffer& buffer = plan_->buffers[b];
    const bool is_placed = external_[b].channels == 0 && plan_->stage(buffer.domain) == stage;
    std::int64_t rows = is_placed ? geometry_.rows(buffer.domain).count : 0;
    if (buffer.partial) rows = std::min(rows, joined_rows());
    bytes_[b] = rows * buffer.channels * static_cast<std::int64_t>(size_of(buffer.dtype));
  }
  StageMemory& placed = memory_[static_cast<std::size_t>(stage)];
  placed.base = static_cast<std::byte*>(
      features_.allocate_bytes(static_cast<std::size_t>(placed.plan.place(plan_->buffers, bytes_))));
}

void Executor::run(const ConstRowView& in, std::span<void* const> outs) {
  for (std::size_t o = 0; o < outputs(); ++o)
    check(output_known(o), "[run] the rows of output ", o, " are selected by features, expected known ones");
  run({&in, 1}, [&outs](std::size_t output) { return outs[output]; });
}

void Executor::run(std::span<const ConstRowView> ins, const OutputMemory& memory, const BeforeStep& before) {
  const auto start = Clock::now();
  const double known_seconds = report_.maps_seconds;
  std::fill(external_.begin(), external_.end(), RowView{});
  for (std::size_t i = 0; i < ins.size(); ++i) place_input(plan_->inputs[i], ins[i]);
  place_stage(0, memory);
  int stage = 0;
  for (std::size_t first = 0, last = 0; first < plan_->steps.size(); first = last) {
    const auto made = static_cast<std::size_t>(stage);
    if (made < plan_->selections.size() && plan_->selections[made].step == static_cast<int>(first)) {
      select(++stage);
      place_stage(stage, memory);
    }
    for (last = first + 1; last < plan_->steps.size() && plan_->steps[last]->joins;) ++last;
    run_joined(first, last, before);
  }
  finish_phase();
  report_.macs = 0;
  for (std::size_t s = 0; s < plan_->steps.size(); ++s) {
    const Step& step = *plan_->steps[s];
    LayerReport& layer = report_.layers[s];
    layer.rows = geometry_.rows(step.domain).count;
    layer.pairs = detailed_ ? step.pairs(context(), geometry_.all()) : 0;
    layer.macs = detailed_ ? step.macs(geometry_.all(), layer.pairs, layer.in_channels, layer.out_channels) : 0;
    report_.macs += layer.macs;
  }
  report_.network_seconds = seconds_since(start) - (report_.maps_seconds - known_seconds);
  report_.voxels = geometry_.rows(0).count;
}

void Executor::run_joined(std::size_t first, std::size_t last, const BeforeStep& before) {
  const std::int64_t rows = geometry_.rows(plan_->steps[first]->domain).count;
  const std::int64_t each = last - first > 1 ? std::min(rows, joined_rows()) : rows;
  for (std::size_t s = first; s < last; ++s) report_.layers[s].seconds = 0;
  for (std::int64_t row = 0; row == 0 || row < rows; row += each) {
    const Span span{row, std::min(each, rows - row)};
    for (std::size_t s = first; s < last; ++s) {
      const auto start = Clock::now();
      Step& step = *plan_->steps[s];
      if (before) before(step, rows_of(step.input));
      run_step(step, span);
      finish_phase();
      report_.layers[s].seconds += seconds_since(start);
    }
    if (each == 0) break;
  }
}

// Inputs on the output's domain are taken at the span, others whole.
void Executor::run_step(const Step& step, const Span& span) {
  const auto rows_at = [&](int value) {
    return ConstRowView(plan_->value(value).domain == step.domain ? rows_of(value, span) : rows_of(value));
  };
  const PlanRows rows = geometry_.all();
  step.run({context(), rows, rows_at(step.input), step.other >= 0 ? rows_at(step.other) : ConstRowView(),
            rows_of(step.output, span), span.first});
}

std::size_t Executor::bytes() const {
  std::size_t total = scratch_.bytes() + geometry_.bytes() + features_.bytes();
  for (const auto& step : plan_->steps) total += step->bytes();
  return total;
}

}  // namespace voxshift
