#include <voxshift/detection/box_finder.h>
#include <voxshift/detection/kernels.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

namespace voxshift {
namespace {

using Maps = std::function<MapView(const std::string&)>;

Array table_of(const AnchorHead& head) {
  std::vector<float> rows;
  for (const Anchor& a : head.anchors) rows.insert(rows.end(), {a.size[0], a.size[1], a.size[2], a.z, a.yaw});
  return Array::from(rows, {static_cast<std::int64_t>(head.anchors.size()), 5});
}

Array table_of(const CenterHead& head) {
  return Array::from(head.classes, {static_cast<std::int64_t>(head.classes.size())});
}

// The logit of a probability.
float logit(float p) {
  if (p <= 0) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(std::log(double{p} / (1 - double{p})));
}

// Where cells lie whose first and last ones are `inset` steps inside the range, none where they lie on its edges.
MapGrid grid_of(const MapView& map, const MapRange& range, std::optional<double> inset) {
  MapGrid grid{map.width, map.height, {}, {}};
  const std::array cells{map.width, map.height};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const double extent = double{range.highest[axis]} - range.lowest[axis];
    const auto n = static_cast<double>(cells[axis]);
    const double step = inset ? extent / n : extent / std::max(1.0, n - 1);
    grid.step[axis] = static_cast<float>(step);
    grid.first[axis] = static_cast<float>(range.lowest[axis] + inset.value_or(0) * step);
  }
  return grid;
}

// The boxes of one head, by their scores.
class HeadBoxes {
 public:
  HeadBoxes(const Context& context, const BoxSelection& selection, const Maps& map, std::int64_t classes)
      : context_(context), selection_(selection), map_(map), classes_(classes) {}

  CandidateView candidates;
  BoxView boxes;

  void find(const AnchorHead& head, const Array& anchors) {
    const MapView scores = map_(head.scores), moved = map_(head.boxes);
    begin(scores, selection_.per_class ? 0 : classes_);
    AnchorMaps maps{moved.rows,
                    {},
                    grid_of(scores, head.range, head.at_edges ? std::nullopt : std::optional(0.5)),
                    anchors.data<float>(),
                    anchors.dim(0),
                    classes_,
                    head.direction_bins,
                    head.direction_offset,
                    limits()};
    if (!head.directions.empty()) maps.directions = map_(head.directions).rows;
    detection_kernels(context_.device).decode_anchors(context_, maps, candidates, boxes);
  }

  void find(const CenterHead& head, const Array& classes) {
    const MapView heatmap = map_(head.heatmap);
    begin(heatmap, 0);
    CenterMaps maps{map_(head.offset).rows,
                    map_(head.height).rows,
                    map_(head.size).rows,
                    map_(head.rotation).rows,
                    {},
                    grid_of(heatmap, head.range, 0.0),
                    classes.data<std::int32_t>(),
                    classes.dim(0),
                    head.sine_first,
                    limits()};
    if (!head.velocity.empty()) maps.velocity = map_(head.velocity).rows;
    detection_kernels(context_.device).decode_centers(context_, maps, candidates, boxes);
  }

 private:
  void begin(const MapView& scores, std::int64_t group) {
    Arena& arena = *context_.arena;
    const std::int64_t most = selection_.candidates;
    candidates = {most, arena.allocate<std::int32_t>(1), arena.allocate<std::int32_t>(most),
                  arena.allocate<float>(most)};
    boxes = {most, kBoxColumns, arena.allocate<float>(most * kBoxColumns), arena.allocate<float>(most),
             arena.allocate<std::int32_t>(most)};
    detection_kernels(context_.device)
        .candidates(context_, scores.rows, group, logit(selection_.score_threshold), true, candidates);
  }

  BoxLimits limits() const {
    return {selection_.lowest, selection_.highest, selection_.least_size, selection_.most_size};
  }

  const Context& context_;
  const BoxSelection& selection_;
  const Maps& map_;
  std::int64_t classes_;
};

float radius_of(const AnchorHead&) { return -1; }
float radius_of(const CenterHead& head) { return head.radius; }

}  // namespace

BoxFinder::BoxFinder(DetectionHead head, std::int64_t classes, Device device,
                     const std::function<std::int64_t(const std::string&)>& channels)
    : head_(std::move(head)), classes_(classes) {
  for (const auto& one : head_.heads) {
    tables_.push_back(std::visit([](const auto& h) { return table_of(h); }, one).to(device));
    if (const auto* anchors = std::get_if<AnchorHead>(&one)) {
      has_velocity_ |= channels(anchors->boxes) == 9 * static_cast<std::int64_t>(anchors->anchors.size());
    } else {
      has_velocity_ |= !std::get<CenterHead>(one).velocity.empty();
    }
  }
}

Detections BoxFinder::find(const Context& context, const Maps& map) const {
  const Device device = context.device;
  const DetectionKernels& kernels = detection_kernels(device);
  Arena& arena = *context.arena;
  const Arena::Mark mark = arena.mark();
  const BoxSelection& selection = head_.selection;
  // Every head has room for its most boxes; what it leaves over has a score of -1.
  const std::int64_t most = selection.most, room = std::ssize(head_.heads) * most;
  const auto indices = [&](std::int64_t count) { return arena.allocate<std::int32_t>(count); };
  const BoxView all{room, kBoxColumns, arena.allocate<float>(room * kBoxColumns), arena.allocate<float>(room),
                    indices(room)};
  std::int32_t *kept = indices(most), *count = indices(1);
  for (std::size_t h = 0; h < head_.heads.size(); ++h) {
    const Arena::Mark before = arena.mark();
    HeadBoxes found(context, selection, map, classes_);
    std::visit([&](const auto& head) { found.find(head, tables_[h]); }, head_.heads[h]);
    const float radius = std::visit([](const auto& head) { return radius_of(head); }, head_.heads[h]);
    kernels.suppress(context, found.boxes, found.candidates.count, {selection.overlap, radius, selection.per_class},
                     most, kept, count);
    const auto first = static_cast<std::int64_t>(h) * most;
    kernels.gather_boxes(context, found.boxes, kept, count,
                         {most, kBoxColumns, all.boxes + first * kBoxColumns, all.scores + first, all.classes + first});
    arena.rewind(before);
  }

  const std::int64_t kept_room = std::min(room, kMostCandidates);
  const CandidateView order{kept_room, indices(1), indices(kept_room), arena.allocate<float>(kept_room)};
  kernels.candidates(context, {all.scores, 1, room, 1, DType::kF32}, 0, -0.5f, false, order);
  std::int32_t n = 0;
  runtime(device).copy_to_host(device, &n, order.count, sizeof(n));
  const std::int64_t columns = has_velocity_ ? kBoxColumns : kBoxColumns - 2;
  Detections result{Array({n, columns}, DType::kF32, device), Array({n}, DType::kF32, device),
                    Array({n}, DType::kI32, device)};
  const BoxView out{n, columns, result.boxes.data<float>(), result.scores.data<float>(),
                    result.classes.data<std::int32_t>()};
  if (n > 0) kernels.gather_boxes(context, all, order.element, order.count, out);
  arena.rewind(mark);
  return result;
}

}  // namespace voxshift
