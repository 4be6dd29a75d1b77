#include <voxshift/engine/executor.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/point_limits.h>
#include <voxshift/tensor/seconds.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace voxshift {
namespace {

const Model& checked_detector(const Model& model) {
  check(model.detection().has_value(),
        "[detect] expects a model that finds boxes (second, pointpillars, centerpoint), found ", model.arch());
  check(model.has_profile() && model.profile().cloud,
        "[detect] expects a model with a profile of whole scans, which says which points it takes");
  return model;
}

// From the frame of the prepared points to that of the given ones.
void move_by(const std::array<float, 3>& origin, Array& boxes) {
  if (origin == std::array<float, 3>{}) return;
  const Device device = boxes.device();
  Array host = boxes.to(Device::cpu());
  for (std::int64_t i = 0; i < host.dim(0); ++i)
    for (std::size_t axis = 0; axis < 3; ++axis)
      host.data<float>()[i * host.dim(1) + static_cast<std::int64_t>(axis)] += origin[axis];
  boxes = host.to(device);
}

}  // namespace

struct Detector::Impl {
  Impl(const Model& m, Device device, const Threads& threads, std::optional<DType> dtype)
      : model(checked_detector(m)),
        session(m.network(), device, threads, dtype),
        executor(session.executor()),
        finder(*m.detection(), static_cast<std::int64_t>(m.classes().size()), device,
               [&](const std::string& output) { return m.values().channels(output); }) {}

  ConstRowView chosen(const Array& points, const PrepareOptions& options);
  Detections boxes();
  MapView map_of(const std::string& output) const;

  Model model;
  Session session;
  Executor& executor;  // the session's
  BoxFinder finder;
  DetectReport report;
  Preparation preparation;
  PointLimits limits;
  std::vector<float> prepared, rows;
  std::vector<void*> bases;
  std::vector<RowView> maps;
};

Detector::Detector(const Model& model, Device device, const Threads& threads, std::optional<DType> dtype)
    : impl_(std::make_unique<Impl>(model, device, threads, dtype)) {}
Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

Detections Detector::detect(const Array& given, const PrepareOptions& options) {
  Impl& s = *impl_;
  check(given.dtype() == DType::kF32 && given.rank() == 2 && given.dim(1) >= 3,
        "[detect] points expects f32 [N, C] with C >= 3, found ", name(given.dtype()), " ", given.shape());
  check(given.device() == s.executor.device() || given.device() == Device::cpu(), "[detect] points are on ",
        name(given.device()), ", the session on ", name(s.executor.device()));
  const auto start = Clock::now();
  s.executor.reset();
  const ConstRowView input = s.chosen(given, options);
  s.report.points = given.dim(0);
  s.report.dropped_points = given.dim(0) - input.count;
  s.report.voxelize_seconds = seconds_since(start);
  s.report.boxes_seconds = 0;
  if (input.count == 0) {
    s.report.RunReport::operator=({});
    const Device device = s.executor.device();
    return {Array({0, s.finder.has_velocity() ? 9 : 7}, DType::kF32, device), Array({0}, DType::kF32, device),
            Array({0}, DType::kI32, device)};
  }
  const std::int64_t splits[] = {0, input.count};
  s.executor.geometry().set_points({input, splits, 1});
  s.executor.build();
  s.maps.clear();
  s.bases.clear();
  for (std::size_t o = 0; o < s.executor.outputs(); ++o) {
    s.maps.push_back(s.executor.output_memory(o));
    s.bases.push_back(s.maps.back().base);
  }
  s.executor.run(input, s.bases);
  s.report.RunReport::operator=(s.executor.report());
  const auto finding = Clock::now();
  Detections result = s.boxes();
  move_by(s.preparation.origin(), result.boxes);
  s.report.boxes_seconds = seconds_since(finding);
  s.executor.reset();
  return result;
}

// The points that the network takes, prepared, in memory of this run on the session's device.
ConstRowView Detector::Impl::chosen(const Array& points, const PrepareOptions& options) {
  const Profile& profile = model.profile();
  const Device device = executor.device();
  const bool on_cpu = points.device() == Device::cpu();
  std::optional<Array> host;  // points are chosen on the CPU
  if (!on_cpu) host = points.to(Device::cpu());
  const float* from = on_cpu ? points.data<float>() : std::as_const(*host).data<float>();
  const std::int64_t n = points.dim(0), given = points.dim(1), columns = profile.columns();
  const std::span all(from, static_cast<std::size_t>(n * given));
  preparation.examine(on_cpu ? all : std::span<const float>(), given, profile, options);
  if (preparation.needed()) {
    prepared.resize(all.size());
    preparation.apply(all, prepared);
    from = prepared.data();
  }
  const std::int64_t used = std::min(given, columns);
  const std::vector<std::int32_t>& kept = limits.choose({from, given, n, given, DType::kF32}, profile, used);
  rows.assign(kept.size() * static_cast<std::size_t>(columns), 0.0f);
  for (std::size_t i = 0; i < kept.size(); ++i)
    std::copy_n(from + kept[i] * given, used, rows.data() + i * static_cast<std::size_t>(columns));
  report.notes = preparation.notes();
  if (profile.cloud->sweeps > 1 && given < columns)
    report.notes.push_back("the model was trained on " + std::to_string(profile.cloud->sweeps) +
                           " scans at once with their age: boxes of one will be worse");
  const auto count = static_cast<std::int64_t>(kept.size());
  if (device == Device::cpu()) return {rows.data(), columns, count, columns, DType::kF32};
  float* memory = executor.geometry().arena().allocate<float>(count * columns);
  runtime(device).copy_from_host(device, memory, rows.data(), rows.size() * sizeof(float));
  return {memory, columns, count, columns, DType::kF32};
}

MapView Detector::Impl::map_of(const std::string& output) const {
  const auto o =
      static_cast<std::size_t>(std::ranges::find(model.graph().outputs, output) - model.graph().outputs.begin());
  const Extent2d extent = executor.plan().domains[executor.output_domain(o)].extent;
  return {maps[o], extent.height, extent.width};  // rows of the image are cells along x
}

Detections Detector::Impl::boxes() {
  return finder.find(executor.context(), [this](const std::string& output) { return map_of(output); });
}

bool Detector::has_velocity() const { return impl_->finder.has_velocity(); }
const DetectReport& Detector::report() const { return impl_->report; }
const Model& Detector::model() const { return impl_->model; }
Session& Detector::session() { return impl_->session; }
const Session& Detector::session() const { return impl_->session; }

}  // namespace voxshift
