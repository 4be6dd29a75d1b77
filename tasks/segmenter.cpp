#include <voxshift/engine/executor.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tasks/cloud_blocks.h>
#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

namespace voxshift {

namespace {

const Model& checked_model(const Model& model) {
  const std::vector<GraphInput>& inputs = model.graph().inputs;
  check(inputs.size() == 1 && inputs.front().kind != InputKind::kFrames,
        "[segment] expects a network whose only input is voxels or points, found ", inputs.size(), " input(s), ",
        name(inputs.front().kind));
  return model;
}

bool is_bounded(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    const auto semantics = node.attributes.find("semantics");
    return semantics != node.attributes.end() && semantics->second == Attribute("bounded");
  });
}

}  // namespace

struct Segmenter::Impl {
  Impl(const Model& m, Device device, const Threads& threads, std::optional<DType> dtype)
      : model(checked_model(m)),
        session(m.network(), device, threads, dtype),
        executor(session.executor()),
        has_bounded_windows(is_bounded(m.graph())),
        scale(Array::from(m.profile().scale, {static_cast<std::int64_t>(m.profile().scale.size())}).to(device)) {}

  std::optional<Window::Extents> extent_of(const Level& level);
  const Array& prepared(const Array& points, const PrepareOptions& options);
  void make_room(std::int64_t n, std::int64_t columns);
  Array sent(const Array& points);
  void segment_voxels(const Array& points, Segmentation& result);
  void segment_blocks(const Array& points, Segmentation& result);
  void segment_cloud(const Array& points, Segmentation& result);
  void start_points();
  void run_points(std::int64_t count, Segmentation& result);

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
  Session session;
  Executor& executor;  // the session's
  SegmentReport report;
  bool has_bounded_windows;
  Array scale;  // of the profile
  std::vector<std::int64_t> keys;
  Preparation preparation;
  Array room;               // f32 for prepared points, which the session's device reads in place where it can
  Array own_points;         // a view of that, or what was sent to the device
  bool reads_host = false;  // the device reads them in the host's memory
  CloudBlocks blocks;
  std::vector<float> point_features;     // of the points that are run together
  std::vector<std::int32_t> point_rows;  // and which of the cloud's they are
};

Segmenter::Segmenter(const Model& model, Device device, const Threads& threads, std::optional<DType> dtype)
    : impl_(std::make_unique<Impl>(model, device, threads, dtype)) {}
Segmenter::~Segmenter() = default;
Segmenter::Segmenter(Segmenter&&) noexcept = default;
Segmenter& Segmenter::operator=(Segmenter&&) noexcept = default;

Segmentation Segmenter::segment(const Array& given, bool with_scores, const PrepareOptions& options) {
  Impl& s = *impl_;
  check(s.model.has_profile(),
        "[segment] expects a model with a profile, which says how points become its input; found one without");
  const Profile& profile = s.model.profile();
  check(!s.model.detection(), "[segment] the model finds boxes, not labels: use a Detector, or the command detect");
  check(s.model.graph().dims == 3, "[segment] the model takes ", s.model.graph().dims, " axes, points have 3");
  const std::int64_t least_columns = profile.columns() == 4 ? 3 : std::max<std::int64_t>(3, profile.columns());
  check(given.dtype() == DType::kF32 && given.rank() == 2 && given.dim(1) >= least_columns,
        "[segment] points expects f32 [N, C] with C >= ", least_columns, ", found ", name(given.dtype()), " ",
        given.shape());
  check(given.device() == s.executor.device() || given.device() == Device::cpu(), "[segment] points are on ",
        name(given.device()), ", the session on ", name(s.executor.device()));
  check(s.executor.outputs() == 1 && !s.model.classes().empty(),
        "[segment] expects a model with one output and classes, found ", s.executor.outputs(), " and ",
        s.model.classes().size());
  check(s.executor.output_domain() == 0,
        "[segment] a network whose output has other coordinates than its input is not supported");
  const Array& points = s.prepared(given, options);
  const std::int64_t n = points.dim(0), classes = s.executor.output_channels();
  const Device device = s.executor.device();
  Segmentation result{Array({n}, DType::kU8, device), Array({with_scores ? n : 0, classes}, DType::kF32, device)};
  runtime(device).fill(device, result.labels.memory(), kUnlabelled, result.labels.bytes());
  runtime(device).fill(device, result.scores.memory(), 0, result.scores.bytes());
  s.executor.reset();
  s.report.points = n;
  s.report.notes = s.preparation.notes();
  if (profile.blocks) {
    s.segment_blocks(points, result);
  } else if (profile.cloud) {
    s.segment_cloud(points, result);
  } else {
    s.segment_voxels(points, result);
  }
  s.executor.reset();
  if (s.reads_host) s.own_points = {};  // the caller's may go
  return result;
}

// The points as the profile expects them, on the session's device: those given where they are so already.
const Array& Segmenter::Impl::prepared(const Array& points, const PrepareOptions& options) {
  const Profile& profile = model.profile();
  preparation.examine({}, 3, profile);
  reads_host = false;
  if (points.device() != Device::cpu()) return points;
  const std::int64_t n = points.dim(0), given = points.dim(1), columns = std::max(given, profile.columns());
  const Array* from = &points;
  if (columns > given) {
    make_room(n, columns);
    std::fill_n(own_points.data<float>(), n * columns, 0.0f);
    for (std::int64_t i = 0; i < n; ++i)
      std::copy_n(points.data<float>() + i * given, given, own_points.data<float>() + i * columns);
    from = &own_points;
  }
  const std::span all(from->data<float>(), static_cast<std::size_t>(n * columns));
  preparation.examine(all, columns, profile, options);
  if (preparation.needed()) {
    make_room(n, columns);
    preparation.apply(all, {own_points.data<float>(), all.size()});
    from = &own_points;
  }
  if (executor.device() == Device::cpu()) return *from;
  return own_points = sent(*from);
}

// own_points: [n, columns] in memory that is kept from cloud to cloud. What it held stays, where there is as much.
void Segmenter::Impl::make_room(std::int64_t n, std::int64_t columns) {
  if (room.count() < n * columns) room = Array::shared({n * columns}, DType::kF32, executor.device());
  own_points = Array(room.memory(), {n, columns}, DType::kF32, Device::cpu(), room.owner());
}

// The points on the session's device: where they lie if it reads them there, where it shares its memory in the room for
// them, else a copy.
Array Segmenter::Impl::sent(const Array& points) {
  const Device device = executor.device();
  reads_host = points.count() > 0 && runtime(device).shares_memory(device);
  if (!reads_host) return points.to(device);
  if (std::optional<Array> seen = points.seen_from(device)) return *seen;
  make_room(points.dim(0), points.dim(1));
  std::copy_n(points.data<float>(), points.count(), own_points.data<float>());
  return *own_points.seen_from(device);
}

// The highest coordinates + 1: what bounded convolutions take for the extent of a scan's voxels, which start at 0.
std::optional<Window::Extents> Segmenter::Impl::extent_of(const Level& level) {
  const Device device = executor.device();
  keys.resize(static_cast<std::size_t>(level.count));
  runtime(device).copy_to_host(device, keys.data(), level.keys, keys.size() * sizeof(keys[0]));
  Window::Extents extent{1, 1, 1, 1};
  for (const std::int64_t key : keys) {
    Coordinate cell;
    level.layout.unpack(key, cell.data());
    for (std::size_t axis = 0; axis < 3; ++axis) extent[axis] = std::max(extent[axis], cell[axis + 1] + 1);
  }
  return extent;
}

void Segmenter::Impl::segment_voxels(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  const std::int64_t n = points.dim(0), channels = profile.channels();
  const RowKernels& rows = row_kernels(executor.device());
  Context in_place = executor.context();
  in_place.arena = &executor.geometry().arena();
  const std::int64_t splits[] = {0, n};
  const VoxelRows voxels = voxelize_rows(in_place, {rows_of(points).columns(0, channels), splits, 1}, profile.voxelize);
  executor.geometry().set_voxels(voxels.level, has_bounded_windows ? extent_of(voxels.level) : std::nullopt);
  const RowView input{voxels.features, channels, voxels.level.count, channels, DType::kF32};
  rows.affine(executor.context(), input, std::as_const(scale).data<float>(), nullptr, {}, {}, input);
  if (reads_host) runtime(executor.device()).synchronize(executor.device());  // the points are the caller's again
  report.dropped_points = n - voxels.points;
  report.voxelize_seconds = seconds_since(start);

  executor.build();
  const RowView logits = executor.output_memory();
  executor.run(input, std::array{logits.base});
  const auto labelling = Clock::now();
  write(logits, voxels.kept, voxels.inverse, voxels.points, result);
  report.RunReport::operator=(executor.report());
  report.network_seconds += seconds_since(labelling);
}

void Segmenter::Impl::segment_blocks(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  std::optional<Array> host;  // blocks are cut on the CPU
  if (executor.device() != Device::cpu()) host = points.to(Device::cpu());
  blocks.cut(rows_of(host ? std::as_const(*host) : points), profile.scale, *profile.blocks);
  report.dropped_points = blocks.dropped();
  report.voxelize_seconds = seconds_since(start);
  start_points();
  for (std::int64_t b = 0; b < blocks.count(); ++b) {
    point_rows.assign(blocks.rows(b), blocks.rows(b) + blocks.size(b));
    point_features.resize(static_cast<std::size_t>(blocks.size(b) * profile.channels()));
    blocks.features(b, point_features.data());
    run_points(blocks.size(b), result);
  }
}

// The whole scan, for networks that make voxels of its points themselves.
void Segmenter::Impl::segment_cloud(const Array& points, Segmentation& result) {
  const auto start = Clock::now();
  const Profile& profile = model.profile();
  const Range& range = *profile.voxelize.range;
  const std::int64_t channels = profile.channels();
  std::optional<Array> host;
  if (executor.device() != Device::cpu()) host = points.to(Device::cpu());
  const Array& from = host ? *host : points;
  point_rows.clear();
  point_features.clear();
  for (std::int64_t i = 0; i < from.dim(0); ++i) {
    const float* p = from.data<float>() + i * from.dim(1);
    const bool finite = std::all_of(p, p + channels, [](float x) { return std::isfinite(x); });
    bool inside = finite;
    for (std::size_t axis = 0; axis < 3 && inside; ++axis)
      inside = p[axis] >= range.lowest[axis] && p[axis] < range.highest[axis];
    if (!inside) continue;
    point_rows.push_back(static_cast<std::int32_t>(i));
    point_features.insert(point_features.end(), p, p + channels);
  }
  const auto kept = static_cast<std::int64_t>(point_rows.size());
  report.dropped_points = from.dim(0) - kept;
  report.voxelize_seconds = seconds_since(start);
  start_points();
  if (kept > 0) run_points(kept, result);
}

void Segmenter::Impl::start_points() {
  report.RunReport::operator=(executor.report());
  report.voxels = report.macs = 0;
  report.maps_seconds = report.network_seconds = 0;
  for (LayerReport& layer : report.layers) layer.rows = layer.pairs = layer.macs = 0, layer.seconds = 0;
}

// Labels of the points that point_features and point_rows hold.
void Segmenter::Impl::run_points(std::int64_t count, Segmentation& result) {
  executor.reset();
  const Device device = executor.device();
  const std::int64_t channels = model.profile().channels();
  Arena& arena = executor.geometry().arena();
  const RowView input{arena.allocate<float>(count * channels), channels, count, channels, DType::kF32};
  auto* rows = arena.allocate<std::int32_t>(count);
  runtime(device).copy_from_host(device, input.base, point_features.data(), point_features.size() * sizeof(float));
  runtime(device).copy_from_host(device, rows, point_rows.data(), point_rows.size() * sizeof(*rows));
  const std::int64_t splits[] = {0, count};
  executor.geometry().set_points({input, splits, 1});
  executor.build();
  const RowView logits = executor.output_memory();
  executor.run(input, std::array{logits.base});
  const auto labelling = Clock::now();
  write(logits, rows, nullptr, count, result);
  report.network_seconds += seconds_since(labelling);
  report.add(executor.report());
}

const SegmentReport& Segmenter::report() const { return impl_->report; }
const Model& Segmenter::model() const { return impl_->model; }
Session& Segmenter::session() { return impl_->session; }
const Session& Segmenter::session() const { return impl_->session; }

}  // namespace voxshift
