#include <voxshift/models/cloud_blocks.h>
#include <voxshift/models/executor.h>
#include <voxshift/models/network_dtype.h>
#include <voxshift/models/session.h>
#include <voxshift/rows/kernels.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace voxshift {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

struct Session::Impl {
  Impl(const Model& m, Device d, const Threads& threads, DType dtype)
      : model(m),
        executor(make_plan(m.graph(), m.parameters(), m.channels(), d, Passes::kAll, dtype), d, threads),
        scale(Array::from(m.profile().scale, {static_cast<std::int64_t>(m.profile().scale.size())}).to(d)) {
    executor.set_detailed(d.kind == Device::Kind::kCpu);
  }

  std::int64_t classes() const { return executor.plan().value(executor.plan().output).channels; }

  // Output rows must be the input's: labels belong to points.
  void check_rows(const char* op) const {
    check(executor.plan().value(executor.plan().output).domain == 0, "[", op,
          "] a network whose output has other coordinates than its input is not supported");
  }

  void start(std::int64_t points) {
    executor.reset();
    RunReport& report = executor.report();
    report.points = points;
    report.dropped_points = 0;
    report.voxelize_seconds = 0;
  }

  Array logits(const ConstRowView& in) {
    executor.build();
    const std::int64_t rows = executor.output_rows(), channels = classes();
    Array out({rows, channels}, DType::kF32, executor.device());
    if (executor.dtype() == DType::kF32) {
      executor.run(in, out.memory());
    } else {
      const RowView narrow{logits_memory(rows), channels, rows, channels, executor.dtype()};
      executor.run(in, narrow.base);
      row_kernels(executor.device()).affine(executor.context(), narrow, nullptr, nullptr, {}, {}, rows_of(out));
    }
    executor.reset();
    return out;
  }

  void* logits_memory(std::int64_t rows) {
    return executor.geometry().arena().allocate_bytes(static_cast<std::size_t>(rows * classes()) *
                                                      size_of(executor.dtype()));
  }

  const Array& prepared(const Array& points, const PrepareOptions& options);
  void segment_voxels(const Array& points, Segmentation& result);
  void segment_blocks(const Array& points, Segmentation& result);

  // Labels, and scores where wanted, of the points rows[i] from row inverse[i] (null: i) of the logits.
  void write(const ConstRowView& logits, const std::int32_t* rows, const std::int32_t* inverse, std::int64_t count,
             Segmentation& result) {
    const RowKernels& kernels = row_kernels(executor.device());
    auto* labels = executor.geometry().arena().allocate<std::uint8_t>(logits.count);
    kernels.argmax(executor.context(), logits, labels);
    kernels.spread_labels(executor.context(), labels, inverse, rows, count, result.labels.data<std::uint8_t>());
    if (result.scores.count() == 0) return;
    kernels.spread_scores(executor.context(), logits, inverse, rows, count, result.scores.data<float>());
  }

  Model model;
  Executor executor;
  Array scale;  // of the profile
  Preparation preparation;
  std::vector<float> prepared_points;
  Array own_points;  // a view of those, or what was sent to the device
  CloudBlocks blocks;
  std::vector<float> block_features;
  RunReport total;  // of all blocks of a cloud
};

Session::Session(const Model& model, Device device, const Threads& threads, std::optional<DType> dtype) {
  impl_ = std::make_unique<Impl>(model, device, threads, network_dtype("session", device, dtype));
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Array Session::forward(const SparseTensor& x) {
  Impl& s = *impl_;
  const Graph& graph = s.model.graph();
  check(graph.input == GraphInput::kVoxels, "[forward] the model takes ", name(graph.input), ", not voxels");
  check(x.channels() == graph.in_channels && x.dims() == graph.dims, "[forward] the model takes ", graph.in_channels,
        " channels on ", graph.dims, " axes, the tensor has ", x.channels(), " on ", x.dims());
  check(x.device() == device(), "[forward] the tensor is on ", name(x.device()), ", the session on ", name(device()));
  s.check_rows("forward");
  s.start(0);
  s.executor.geometry().set_voxels(x.map()->level(), x.shape());
  return s.logits(rows_of(x.features()));
}

Array Session::forward(const PointSet& points) {
  Impl& s = *impl_;
  const Graph& graph = s.model.graph();
  check(graph.input == GraphInput::kPoints, "[forward] the model takes ", name(graph.input), ", not points");
  const PointSet clouds = checked(points, "forward", "points");
  check(clouds.points.dim(1) == graph.in_channels, "[forward] the model takes ", graph.in_channels,
        " channels, points have ", clouds.points.dim(1));
  check(clouds.points.device() == device(), "[forward] points are on ", name(clouds.points.device()),
        ", the session on ", name(device()));
  s.check_rows("forward");
  s.start(clouds.points.dim(0));
  s.executor.geometry().set_points(clouds_of(clouds));
  return s.logits(rows_of(clouds.points));
}

Segmentation Session::segment(const Array& given, bool with_scores, const PrepareOptions& options) {
  Impl& s = *impl_;
  const Profile& profile = s.model.profile();
  check(s.model.graph().dims == 3, "[segment] the model takes ", s.model.graph().dims, " axes, points have 3");
  const std::int64_t least_columns = profile.columns() == 4 ? 3 : std::max<std::int64_t>(3, profile.columns());
  check(given.dtype() == DType::kF32 && given.rank() == 2 && given.dim(1) >= least_columns,
        "[segment] points expects f32 [N, C] with C >= ", least_columns, ", found ", name(given.dtype()), " ",
        to_string(given.shape()));
  check(given.device() == device() || given.device() == Device::cpu(), "[segment] points are on ", name(given.device()),
        ", the session on ", name(device()));
  s.check_rows("segment");
  const Array& points = s.prepared(given, options);
  const std::int64_t n = points.dim(0), classes = s.classes();
  Segmentation result{Array({n}, DType::kU8, device()), Array({with_scores ? n : 0, classes}, DType::kF32, device())};
  runtime(device()).fill(device(), result.labels.memory(), kUnlabelled, result.labels.bytes());
  runtime(device()).fill(device(), result.scores.memory(), 0, result.scores.bytes());
  s.start(n);
  s.executor.report().notes = s.preparation.notes();
  if (profile.blocks) {
    s.segment_blocks(points, result);
  } else {
    s.segment_voxels(points, result);
  }
  s.executor.reset();
  return result;
}

// The points as the profile expects them, on the session's device: those given where they are so already.
const Array& Session::Impl::prepared(const Array& points, const PrepareOptions& options) {
  const Profile& profile = model.profile();
  preparation.examine({}, 3, profile);
  if (points.device() != Device::cpu()) return points;
  const std::int64_t n = points.dim(0), given = points.dim(1), columns = std::max(given, profile.columns());
  const float* from = points.data<float>();
  if (columns > given) {
    prepared_points.assign(static_cast<std::size_t>(n * columns), 0.0f);
    for (std::int64_t i = 0; i < n; ++i)
      std::copy_n(points.data<float>() + i * given, given, prepared_points.data() + i * columns);
    from = prepared_points.data();
  }
  const std::span all(from, static_cast<std::size_t>(n * columns));
  preparation.examine(all, columns, profile, options);
  if (preparation.needed()) {
    prepared_points.resize(all.size());
    preparation.apply(all, prepared_points);
    from = prepared_points.data();
  }
  if (from != points.data<float>())
    own_points = Array(prepared_points.data(), {n, columns}, DType::kF32, Device::cpu(), nullptr);
  if (executor.device() == Device::cpu()) return from == points.data<float>() ? points : own_points;
  return own_points = (from == points.data<float>() ? points : own_points).to(executor.device());
}

void Session::Impl::segment_voxels(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  const std::int64_t n = points.dim(0), channels = profile.channels();
  const RowKernels& rows = row_kernels(executor.device());
  Context in_place = executor.context();
  in_place.arena = &executor.geometry().arena();
  const std::int64_t splits[] = {0, n};
  const VoxelRows voxels = voxelize_rows(in_place, {rows_of(points).columns(0, channels), splits, 1}, profile.voxelize);
  executor.geometry().set_voxels(voxels.level, std::nullopt);
  const RowView input{voxels.features, channels, voxels.level.count, channels, DType::kF32};
  rows.affine(executor.context(), input, std::as_const(scale).data<float>(), nullptr, {}, {}, input);
  RunReport& report = executor.report();
  report.dropped_points = n - voxels.points;
  report.voxelize_seconds = seconds_since(start);

  const std::int64_t count = voxels.level.count;
  const RowView logits{logits_memory(count), classes(), count, classes(), executor.dtype()};
  executor.build();
  executor.run(input, logits.base);
  const auto labelling = Clock::now();
  write(logits, voxels.kept, voxels.inverse, voxels.points, result);
  report.network_seconds += seconds_since(labelling);
}

void Session::Impl::segment_blocks(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  const Device device = executor.device();
  std::optional<Array> host;  // blocks are cut on the CPU
  if (device != Device::cpu()) host = points.to(Device::cpu());
  blocks.cut(rows_of(host ? std::as_const(*host) : points), profile.scale, *profile.blocks);
  total = executor.report();
  total.dropped_points = blocks.dropped();
  total.voxelize_seconds = seconds_since(start);
  total.voxels = total.macs = 0;
  total.maps_seconds = total.network_seconds = 0;
  for (LayerReport& layer : total.layers) layer.rows = layer.pairs = layer.macs = 0, layer.seconds = 0;
  const std::int64_t channels = profile.channels();
  for (std::int64_t b = 0; b < blocks.count(); ++b) {
    executor.reset();
    Arena& arena = executor.geometry().arena();
    const std::int64_t count = blocks.size(b);
    const RowView input{arena.allocate<float>(count * channels), channels, count, channels, DType::kF32};
    auto* rows = arena.allocate<std::int32_t>(count);
    block_features.resize(static_cast<std::size_t>(count * channels));
    blocks.features(b, block_features.data());
    runtime(device).copy_from_host(device, input.base, block_features.data(), block_features.size() * sizeof(float));
    runtime(device).copy_from_host(device, rows, blocks.rows(b), static_cast<std::size_t>(count) * sizeof(*rows));
    const std::int64_t splits[] = {0, count};
    executor.geometry().set_points({input, splits, 1});
    executor.build();
    const RowView logits{logits_memory(count), classes(), count, classes(), executor.dtype()};
    executor.run(input, logits.base);
    const auto labelling = Clock::now();
    write(logits, rows, nullptr, count, result);
    total.network_seconds += seconds_since(labelling);
    total.add(executor.report());
  }
  executor.report() = total;
}

void Session::report_layers(bool wanted) { impl_->executor.set_detailed(wanted); }
DType Session::dtype() const { return impl_->executor.dtype(); }
const RunReport& Session::report() const { return impl_->executor.report(); }
const Model& Session::model() const { return impl_->model; }
Device Session::device() const { return impl_->executor.device(); }
int Session::threads() const { return impl_->executor.threads(); }
std::size_t Session::bytes() const { return impl_->executor.bytes(); }

void RunReport::add(const RunReport& other) {
  voxels += other.voxels;
  macs += other.macs;
  maps_seconds += other.maps_seconds;
  network_seconds += other.network_seconds;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].rows += other.layers[i].rows;
    layers[i].pairs += other.layers[i].pairs;
    layers[i].macs += other.layers[i].macs;
    layers[i].seconds += other.layers[i].seconds;
  }
}

}  // namespace voxshift
