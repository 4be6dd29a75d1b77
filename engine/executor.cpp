#include <voxshift/engine/executor.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace voxshift {
namespace {

using Clock = std::chrono::steady_clock;

// Rows of steps that run together: 4 MB at 256 channels. From 1024 rows to all of them SPVCNN takes the same time.
constexpr std::int64_t kJoinedRows = 4096;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string times(const Window::Extents& extents, int dims) {
  std::string text;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dims); ++d) {
    if (d > 0) text += 'x';
    text += std::to_string(extents[d]);
  }
  return text;
}

std::string kind_of(const Step& step, const Plan& plan) {
  switch (step.kind) {
    case StepKind::kLinear:
      return "linear";
    case StepKind::kAffine:
      return "affine";
    case StepKind::kAdd:
      return "add";
    case StepKind::kSigmoid:
      return "sigmoid";
    case StepKind::kCoordinates:
      return "coordinates";
    case StepKind::kReduce:
      return step.reduce == Reduce::kMax ? "max" : "mean";
    case StepKind::kInterpolate:
      return "interpolate";
    case StepKind::kBroadcast:
      return "broadcast";
    case StepKind::kGroup:
      return "group";
    case StepKind::kScale:
      return "scale";
    case StepKind::kConv: {
      const Window& w = plan.maps[static_cast<std::size_t>(step.map)].window;
      const std::string text = (step.transposed ? "conv_transpose " : "conv ") + times(w.size, w.dims);
      const bool even =
          std::all_of(w.stride.begin(), w.stride.begin() + w.dims, [&](int s) { return s == w.stride[0]; });
      return w.unit_stride() ? text : text + " / " + (even ? std::to_string(w.stride[0]) : times(w.stride, w.dims));
    }
  }
  return {};
}

}  // namespace

Executor::Executor(Plan plan, Device device, const Threads& threads)
    : device_(device),
      pool_(threads.pool()),
      plan_(std::move(plan)),
      scratch_(device),
      features_(device),
      geometry_(plan_, device),
      bytes_(plan_.buffers.size()) {
  for (const Step& step : plan_.steps) {
    const Value &in = plan_.value(step.input), &out = plan_.value(step.output);
    report_.layers.push_back({step.name, kind_of(step, plan_), 0, in.channels, out.channels, 0, 0, 0});
  }
}

void Executor::reset() {
  scratch_.reset();
  geometry_.reset();
  features_.reset();
}

void Executor::build() {
  const auto start = Clock::now();
  geometry_.build(context());
  finish_phase();
  report_.maps_seconds = seconds_since(start);
}

void Executor::finish_phase() const {
  if (detailed_) runtime(device_).synchronize(device_);
}

// A GPU has no cache for rows to stay in, and wants few large kernels.
std::int64_t Executor::joined_rows() const {
  return device_.kind == Device::Kind::kCpu ? kJoinedRows : std::numeric_limits<std::int64_t>::max();
}

RowView Executor::output_memory() {
  const std::int64_t rows = output_rows(), channels = output_channels();
  const auto bytes = static_cast<std::size_t>(rows * channels) * size_of(plan_.dtype);
  return {geometry_.arena().allocate_bytes(bytes), channels, rows, channels, plan_.dtype};
}

RowView Executor::rows_of(int index) const {
  return rows_of(index, {0, geometry_.rows(plan_.value(index).domain).count});
}

RowView Executor::rows_of(int index, const Span& span) const {
  const Value& v = plan_.value(index);
  const Buffer& buffer = plan_.buffers[static_cast<std::size_t>(v.buffer)];
  RowView whole{nullptr, buffer.channels, span.count, buffer.channels, plan_.dtype};
  if (v.buffer == plan_.value(plan_.input).buffer) {
    whole.base = const_cast<void*>(in_.base);  // never a step's output
    whole.row_stride = in_.row_stride;
  } else if (v.buffer == plan_.value(plan_.output).buffer) {
    whole.base = out_;
  } else {
    whole.base = memory_ + memory_plan_.offset(v.buffer);
  }
  return whole.rows(buffer.partial ? 0 : span.first, span.count).columns(v.column, v.channels);
}

void Executor::place_buffers() {
  for (std::size_t b = 0; b < bytes_.size(); ++b) {
    const auto index = static_cast<int>(b);
    const bool external = index == plan_.value(plan_.input).buffer || index == plan_.value(plan_.output).buffer;
    const Buffer& buffer = plan_.buffers[b];
    std::int64_t rows = external ? 0 : geometry_.rows(buffer.domain).count;
    if (buffer.partial) rows = std::min(rows, joined_rows());
    bytes_[b] = rows * buffer.channels * static_cast<std::int64_t>(size_of(plan_.dtype));
  }
  memory_ = static_cast<std::byte*>(
      features_.allocate_bytes(static_cast<std::size_t>(memory_plan_.place(plan_.buffers, bytes_))));
}

void Executor::run(const ConstRowView& in, void* out, const BeforeStep& before) {
  const auto start = Clock::now();
  place_buffers();
  in_ = in;
  if (in.dtype != plan_.dtype) {
    auto* rounded = features_.allocate_bytes(static_cast<std::size_t>(in.count * in.channels) * size_of(plan_.dtype));
    const RowView copy{rounded, in.channels, in.count, in.channels, plan_.dtype};
    row_kernels(device_).affine(context(), in, nullptr, nullptr, {}, {}, copy);
    in_ = copy;
  }
  out_ = out;
  for (std::size_t first = 0, last = 0; first < plan_.steps.size(); first = last) {
    for (last = first + 1; last < plan_.steps.size() && plan_.steps[last].joins;) ++last;
    run_joined(first, last, before);
  }
  finish_phase();
  report_.macs = 0;
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const Step& step = plan_.steps[s];
    LayerReport& layer = report_.layers[s];
    layer.rows = geometry_.rows(plan_.value(step.output).domain).count;
    layer.pairs = !detailed_ ? 0
                  : step.kind == StepKind::kConv
                      ? coordinate_kernels(device_).pair_count(context(), geometry_.map(step.map).forward)
                  : step.kind == StepKind::kLinear ? layer.rows
                                                   : 0;
    layer.macs = layer.pairs * layer.in_channels * layer.out_channels;
    report_.macs += layer.macs;
  }
  report_.network_seconds = seconds_since(start);
  report_.voxels = geometry_.rows(0).count;
}

void Executor::run_joined(std::size_t first, std::size_t last, const BeforeStep& before) {
  const std::int64_t rows = geometry_.rows(plan_.value(plan_.steps[first].output).domain).count;
  const std::int64_t each = last - first > 1 ? std::min(rows, joined_rows()) : rows;
  for (std::size_t s = first; s < last; ++s) report_.layers[s].seconds = 0;
  for (std::int64_t row = 0; row == 0 || row < rows; row += each) {
    const Span span{row, std::min(each, rows - row)};
    for (std::size_t s = first; s < last; ++s) {
      const auto start = Clock::now();
      Step& step = plan_.steps[s];
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
  const auto values = [](const std::optional<Array>& array) {
    return array ? std::as_const(*array).data<float>() : nullptr;
  };
  const int domain = plan_.value(step.output).domain;
  const auto rows_at = [&](int value) {
    return ConstRowView(plan_.value(value).domain == domain ? rows_of(value, span) : rows_of(value));
  };
  const ConstRowView x = rows_at(step.input);
  const ConstRowView other = step.other >= 0 ? rows_at(step.other) : ConstRowView();
  const RowView y = rows_of(step.output, span);
  const Epilogue epilogue{values(step.bias), other, step.activation, step.residual_last};
  const RowKernels& rows = row_kernels(device_);
  const DomainRows& out = geometry_.rows(domain);
  const LinkRows link = step.link >= 0 ? geometry_.link(step.link) : LinkRows();
  switch (step.kind) {
    case StepKind::kConv: {
      const KernelMapViews& map = geometry_.map(step.map);
      return sparse_conv_kernels(device_).conv(context(), x, step.transposed ? map.transposed : map.forward,
                                               *step.weights, epilogue, y);
    }
    case StepKind::kLinear:
      return rows.linear(context(), x, *step.weights, epilogue, y);
    case StepKind::kAffine:
      return rows.affine(context(), x, values(step.scale), values(step.shift), {}, step.activation, y);
    case StepKind::kAdd:
      return rows.affine(context(), x, nullptr, nullptr, other, step.activation, y);
    case StepKind::kSigmoid:
      return rows.sigmoid(context(), x, y);
    case StepKind::kCoordinates:
      return rows.affine(context(), out.points.columns(0, 3), nullptr, nullptr, {}, {}, y);
    case StepKind::kReduce:
      return coordinate_kernels(device_).reduce(context(), x, link.parents, step.reduce, y);
    case StepKind::kInterpolate:
      return point_voxel_kernels(device_).interpolate(context(), x, link.indices + span.first * link.corners,
                                                      link.weights + span.first * link.corners, link.corners, y);
    case StepKind::kBroadcast:
      return rows.gather(context(), x, link.parents + span.first, y);
    case StepKind::kGroup: {
      const Domain& groups = plan_.domain(domain);
      return point_voxel_kernels(device_).group(context(), geometry_.rows(groups.points).points,
                                                geometry_.rows(groups.parent).points, out.indices, groups.count, x, y);
    }
    case StepKind::kScale:
      return run_scale(step, x, y);
  }
}

void Executor::run_scale(const Step& step, const ConstRowView& x, const RowView& y) {
  const std::vector<std::int64_t>& splits = geometry_.rows(plan_.value(step.output).domain).splits;
  RowView factors = rows_of(step.other);
  const Arena::Mark mark = scratch_.mark();
  if (factors.dtype != DType::kF32) {
    const RowView wide{scratch_.allocate<float>(factors.count * factors.channels), factors.channels, factors.count,
                       factors.channels, DType::kF32};
    row_kernels(device_).affine(context(), factors, nullptr, nullptr, {}, {}, wide);
    factors = wide;
  }
  for (std::size_t b = 0; b + 1 < splits.size(); ++b) {
    const std::int64_t first = splits[b], count = splits[b + 1] - splits[b];
    const auto* scale = static_cast<const float*>(factors.rows(static_cast<std::int64_t>(b), 1).base);
    row_kernels(device_).affine(context(), x.rows(first, count), scale, nullptr, {}, {}, y.rows(first, count));
  }
  scratch_.rewind(mark);
}

std::size_t Executor::bytes() const {
  std::size_t total = scratch_.bytes() + geometry_.bytes() + features_.bytes();
  for (const Step& step : plan_.steps)
    if (step.weights) total += step.weights->bytes();
  return total;
}

}  // namespace voxshift
