#include <voxshift/models/cloud_blocks.h>
#include <voxshift/models/executor.h>
#include <voxshift/models/session.h>
#include <voxshift/models/softmax.h>
#include <voxshift/rows/kernels.h>

#include <algorithm>
#include <chrono>

namespace voxshift {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

struct Session::Impl {
  Impl(const Model& m, Device d, int threads)
      : model(m), executor(make_plan(m.graph(), m.parameters(), m.channels(), d), d, threads) {}

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
    Array out({executor.output_rows(), classes()}, DType::kF32, executor.device());
    executor.run(in, out.data<float>());
    executor.reset();
    return out;
  }

  void segment_voxels(const Array& points, Segmentation& result);
  void segment_blocks(const Array& points, Segmentation& result);

  // Labels, and scores where wanted, of the points rows[i] from row inverse[i] (null: i) of the logits.
  void write(const float* logits, const std::uint8_t* labels, const std::int32_t* rows, const std::int32_t* inverse,
             std::int64_t count, Segmentation& result) const {
    auto* out = result.labels.data<std::uint8_t>();
    for (std::int64_t i = 0; i < count; ++i) out[rows[i]] = labels[inverse != nullptr ? inverse[i] : i];
    if (result.scores.count() == 0) return;
    auto* scores = result.scores.data<float>();
    const auto width = static_cast<std::size_t>(classes());
    for (std::int64_t i = 0; i < count; ++i)
      softmax({logits + (inverse != nullptr ? inverse[i] : i) * classes(), width},
              {scores + rows[i] * classes(), width});
  }

  Model model;
  Executor executor;
  CloudBlocks blocks;
  RunReport total;  // of all blocks of a cloud
};

Session::Session(const Model& model, Device device, int threads)
    : impl_(std::make_unique<Impl>(model, device, threads)) {}
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

Segmentation Session::segment(const Array& points, bool with_scores) {
  Impl& s = *impl_;
  const Profile& profile = s.model.profile();
  check(s.model.graph().dims == 3, "[segment] the model takes ", s.model.graph().dims, " axes, points have 3");
  const std::int64_t least_columns = std::max<std::int64_t>(3, profile.columns());
  check(points.dtype() == DType::kF32 && points.rank() == 2 && points.dim(1) >= least_columns,
        "[segment] points expects f32 [N, C] with C >= ", least_columns, ", found ", name(points.dtype()), " ",
        to_string(points.shape()));
  check(points.device() == device(), "[segment] points are on ", name(points.device()), ", the session on ",
        name(device()));
  s.check_rows("segment");
  const std::int64_t n = points.dim(0), classes = s.classes();
  Segmentation result{Array({n}, DType::kU8, device()), Array({with_scores ? n : 0, classes}, DType::kF32, device())};
  std::fill_n(result.labels.data<std::uint8_t>(), n, kUnlabelled);
  std::fill_n(result.scores.data<float>(), result.scores.count(), 0.0f);
  s.start(n);
  if (profile.blocks) {
    s.segment_blocks(points, result);
  } else {
    s.segment_voxels(points, result);
  }
  s.executor.reset();
  return result;
}

void Session::Impl::segment_voxels(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  const std::int64_t n = points.dim(0), channels = profile.channels();
  const RowKernels& rows = row_kernels(executor.device());
  Arena& arena = executor.geometry().arena();
  const Context in_place{executor.device(), nullptr, executor.threads(), &arena};
  const std::int64_t splits[] = {0, n};
  const VoxelRows voxels = voxelize_rows(in_place, {rows_of(points).columns(0, channels), splits, 1}, profile.voxelize);
  executor.geometry().set_voxels(voxels.level, std::nullopt);
  const RowView input{voxels.features, channels, voxels.level.count, channels, DType::kF32};
  rows.affine(executor.context(), input, profile.scale.data(), nullptr, {}, {}, input);
  RunReport& report = executor.report();
  report.dropped_points = n - voxels.points;
  report.voxelize_seconds = seconds_since(start);

  const std::int64_t count = voxels.level.count;
  float* logits = arena.allocate<float>(count * classes());
  auto* labels = arena.allocate<std::uint8_t>(count);
  executor.build();
  executor.run(input, logits);
  const auto labelling = Clock::now();
  rows.argmax(executor.context(), ConstRowView{logits, classes(), count, classes(), DType::kF32}, labels);
  write(logits, labels, voxels.kept, voxels.inverse, voxels.points, result);
  report.network_seconds += seconds_since(labelling);
}

void Session::Impl::segment_blocks(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  blocks.cut(rows_of(points), profile.scale, *profile.blocks);
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
    blocks.features(b, static_cast<float*>(input.base));
    const std::int64_t splits[] = {0, count};
    executor.geometry().set_points({input, splits, 1});
    executor.build();
    float* logits = arena.allocate<float>(count * classes());
    auto* labels = arena.allocate<std::uint8_t>(count);
    executor.run(input, logits);
    const auto labelling = Clock::now();
    row_kernels(executor.device())
        .argmax(executor.context(), ConstRowView{logits, classes(), count, classes(), DType::kF32}, labels);
    write(logits, labels, blocks.rows(b), nullptr, count, result);
    total.network_seconds += seconds_since(labelling);
    total.add(executor.report());
  }
  executor.report() = total;
}

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
