#include <voxshift/models/memory_plan.h>
#include <voxshift/models/plan.h>
#include <voxshift/models/session.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace voxshift {
namespace {

using Clock = std::chrono::steady_clock;

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

void softmax(const float* logits, std::int64_t classes, float* scores) {
  const float highest = *std::max_element(logits, logits + classes);
  float sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) sum += scores[c] = std::exp(logits[c] - highest);
  for (std::int64_t c = 0; c < classes; ++c) scores[c] /= sum;
}

}  // namespace

struct Session::Impl {
  Impl(const Model& m, Device d, int t)
      : model(m),
        device(d),
        threads(t > 0 ? t : num_threads()),
        scratch(d),
        coordinates(d),
        features(d),
        plan(make_plan(m, d)),
        levels(plan.grids.size()),
        shapes(plan.grids.size()),
        maps(plan.maps.size()),
        bytes(plan.buffers.size()) {
    for (const Step& step : plan.steps) {
      const Value &in = value(step.input), &out = value(step.output);
      report.layers.push_back({step.name, kind_of(step, plan), 0, in.channels, out.channels, 0, 0, 0});
    }
  }

  const Value& value(int index) const { return plan.values[static_cast<std::size_t>(index)]; }
  const Level& level_of(const Value& v) const { return levels[static_cast<std::size_t>(v.grid)]; }
  Context context() { return {device, nullptr, threads, &scratch}; }

  // Takes all pieces back. Before a run, because the last one may have thrown; after it, because that is when arenas
  // that grew become one block each, and the next run shall allocate nothing.
  void reset_arenas() {
    scratch.reset();
    coordinates.reset();
    features.reset();
  }

  // Coordinates of every grid, then every kernel map; the input's level must be set.
  void plan_coordinates() {
    const auto start = Clock::now();
    for (std::size_t g = 1; g < plan.grids.size(); ++g) {
      const Grid& grid = plan.grids[g];
      const auto parent = static_cast<std::size_t>(grid.parent);
      const Context in_place{device, nullptr, threads, &coordinates};
      levels[g] = coarser_level(in_place, levels[parent], grid.window, shapes[parent]);
      shapes[g] = shapes[parent];
      if (!shapes[g]) continue;
      if (grid.window.semantics == Semantics::kBounded) {
        shapes[g] = bounded_shape(*shapes[parent], grid.window);
      } else {
        for (std::size_t d = 0; d < static_cast<std::size_t>(grid.window.dims); ++d)
          (*shapes[g])[d] = ((*shapes[parent])[d] - 1) / grid.window.stride[d] + 1;
      }
    }
    for (std::size_t m = 0; m < maps.size(); ++m) {
      const MapSpec& spec = plan.maps[m];
      maps[m] = coordinate_kernels(device).map(context(), levels[static_cast<std::size_t>(spec.fine)],
                                               levels[static_cast<std::size_t>(spec.coarse)], spec.window, coordinates);
    }
    report.maps_seconds = seconds_since(start);
  }

  // Runs all steps; `in` are the input's rows, `out` takes the output's.
  void run(const float* in, float* out) {
    plan_coordinates();
    const auto start = Clock::now();
    const int input_buffer = value(plan.input).buffer, output_buffer = value(plan.output).buffer;
    for (std::size_t b = 0; b < bytes.size(); ++b) {
      const bool external = static_cast<int>(b) == input_buffer || static_cast<int>(b) == output_buffer;
      const Buffer& buffer = plan.buffers[b];
      bytes[b] = external ? 0
                          : levels[static_cast<std::size_t>(buffer.grid)].count * buffer.channels *
                                static_cast<std::int64_t>(sizeof(float));
    }
    auto* memory = static_cast<std::byte*>(
        features.allocate_bytes(static_cast<std::size_t>(memory_plan.place(plan.buffers, bytes))));
    const auto rows = [&](int index) -> RowView {
      const Value& v = value(index);
      const Buffer& buffer = plan.buffers[static_cast<std::size_t>(v.buffer)];
      void* base = v.buffer == input_buffer    ? const_cast<float*>(in)  // never a step's output
                   : v.buffer == output_buffer ? out
                                               : static_cast<void*>(memory + memory_plan.offset(v.buffer));
      const RowView whole{base, buffer.channels, level_of(v).count, buffer.channels, DType::kF32};
      return whole.columns(v.column, v.channels);
    };
    report.macs = 0;
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
      const auto step_start = Clock::now();
      const Step& step = plan.steps[s];
      LayerReport& layer = report.layers[s];
      const RowView x = rows(step.input), y = rows(step.output);
      run_step(step, x, step.other >= 0 ? ConstRowView(rows(step.other)) : ConstRowView(), y);
      layer.rows = y.count;
      layer.pairs = step.kind == StepKind::kConv     ? map_of(step).pair_count()
                    : step.kind == StepKind::kLinear ? y.count
                                                     : 0;
      layer.macs = layer.pairs * layer.in_channels * layer.out_channels;
      layer.seconds = seconds_since(step_start);
      report.macs += layer.macs;
    }
    report.network_seconds = seconds_since(start);
    report.voxels = levels[0].count;
  }

  const KernelMapView& map_of(const Step& step) const {
    const KernelMapViews& views = maps[static_cast<std::size_t>(step.map)];
    return step.transposed ? views.transposed : views.forward;
  }

  void run_step(const Step& step, const ConstRowView& x, const ConstRowView& other, const RowView& y) {
    const auto values = [](const std::optional<Array>& array) {
      return array ? std::as_const(*array).data<float>() : nullptr;
    };
    const Epilogue epilogue{values(step.bias), other, step.activation};
    switch (step.kind) {
      case StepKind::kConv:
        return sparse_conv_kernels(device).conv(context(), x, map_of(step), *step.weights, epilogue, y);
      case StepKind::kLinear:
        return row_kernels(device).linear(context(), x, *step.weights, epilogue, y);
      case StepKind::kAffine:
        return row_kernels(device).affine(context(), x, values(step.scale), values(step.shift), step.activation, y);
      case StepKind::kAdd:
        return row_kernels(device).add(context(), x, other, step.activation, y);
    }
  }

  Model model;
  Device device;
  int threads;
  Arena scratch, coordinates, features;
  Plan plan;
  MemoryPlan memory_plan;
  std::vector<Level> levels;
  std::vector<std::optional<Window::Extents>> shapes;
  std::vector<KernelMapViews> maps;
  std::vector<std::int64_t> bytes;
  RunReport report;
};

Session::Session(const Model& model, Device device, int threads)
    : impl_(std::make_unique<Impl>(model, device, threads)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Array Session::forward(const SparseTensor& x) {
  Impl& s = *impl_;
  const Graph& graph = s.model.graph();
  check(x.channels() == graph.in_channels && x.dims() == graph.dims, "[forward] the model takes ", graph.in_channels,
        " channels on ", graph.dims, " axes, the tensor has ", x.channels(), " on ", x.dims());
  check(x.device() == s.device, "[forward] the tensor is on ", name(x.device()), ", the session on ", name(s.device));
  s.reset_arenas();
  s.levels[0] = x.map()->level();
  s.shapes[0] = x.shape();
  s.report.points = s.report.dropped_points = 0;
  s.report.voxelize_seconds = 0;
  // The output's rows are known once the coordinates are; for the networks here they are the input's.
  const Value& output = s.value(s.plan.output);
  check(output.grid == 0, "[forward] a network whose output has other coordinates than its input is not supported");
  Array logits({x.size(), output.channels}, DType::kF32, s.device);
  s.run(x.features().data<float>(), logits.data<float>());
  s.reset_arenas();
  return logits;
}

Segmentation Session::segment(const Array& points, bool with_scores) {
  Impl& s = *impl_;
  const Profile& profile = s.model.profile();
  check(s.model.graph().dims == 3, "[segment] the model takes ", s.model.graph().dims, " axes, points have 3");
  const std::int64_t least_columns = std::max<std::int64_t>(3, profile.channels());
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= least_columns,
        "[segment] points expects f32 [N, C] with C >= ", least_columns, ", found ", name(points.dtype()), " ",
        to_string(points.shape()));
  check(points.device() == s.device, "[segment] points are on ", name(points.device()), ", the session on ",
        name(s.device));
  check(s.value(s.plan.output).grid == 0, "[segment] the network's output has other coordinates than its input");
  s.reset_arenas();
  s.shapes[0].reset();
  const auto start = Clock::now();
  const std::int64_t n = points.dim(0), channels = profile.channels();
  const Context in_place{s.device, nullptr, s.threads, &s.coordinates};
  const VoxelRows voxels = voxelize_rows(in_place, rows_of(points).columns(0, channels), profile.voxelize);
  s.levels[0] = voxels.level;
  const RowView input{voxels.features, channels, voxels.level.count, channels, DType::kF32};
  row_kernels(s.device).affine(s.context(), input, profile.scale.data(), nullptr, {}, input);
  s.report.points = n;
  s.report.dropped_points = n - voxels.points;
  s.report.voxelize_seconds = seconds_since(start);

  const std::int64_t classes = s.value(s.plan.output).channels, rows = voxels.level.count;
  float* logits = s.coordinates.allocate<float>(rows * classes);
  auto* voxel_labels = s.coordinates.allocate<std::uint8_t>(rows);
  s.run(voxels.features, logits);
  const auto labelling = Clock::now();
  row_kernels(s.device).argmax(s.context(), ConstRowView{logits, classes, rows, classes, DType::kF32}, voxel_labels);

  Segmentation result{Array({n}, DType::kU8, s.device), Array({0, classes}, DType::kF32, s.device)};
  auto* labels = result.labels.data<std::uint8_t>();
  std::fill_n(labels, n, kUnlabelled);
  for (std::int64_t j = 0; j < voxels.points; ++j) labels[voxels.kept[j]] = voxel_labels[voxels.inverse[j]];
  if (with_scores) {
    result.scores = Array({n, classes}, DType::kF32, s.device);
    auto* scores = result.scores.data<float>();
    std::fill_n(scores, n * classes, 0.0f);
    for (std::int64_t j = 0; j < voxels.points; ++j)
      softmax(logits + voxels.inverse[j] * classes, classes, scores + voxels.kept[j] * classes);
  }
  s.report.network_seconds += seconds_since(labelling);
  s.reset_arenas();
  return result;
}

const RunReport& Session::report() const { return impl_->report; }
const Model& Session::model() const { return impl_->model; }
Device Session::device() const { return impl_->device; }
int Session::threads() const { return impl_->threads; }

std::size_t Session::bytes() const {
  std::size_t total = impl_->scratch.bytes() + impl_->coordinates.bytes() + impl_->features.bytes();
  for (const Step& step : impl_->plan.steps)
    if (step.weights) total += step.weights->bytes();
  return total;
}

}  // namespace voxshift
