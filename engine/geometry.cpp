#include <voxshift/engine/geometry.h>
#include <voxshift/point_voxel/kernels.h>
#include <voxshift/point_voxel/voxelize.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>
#include <voxshift/tensor/kernels.h>
#include <voxshift/tensor/result_size.h>
#include <voxshift/video/kernels.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace voxshift {
namespace {

using DomainKind = Domain::Kind;

// Every cell of `clouds` boxes.
Level dense_level(const Context& context, std::int64_t clouds, std::span<const std::int64_t> extents) {
  Coordinate highest{static_cast<std::int32_t>(std::max<std::int64_t>(clouds, 1) - 1)};
  std::int64_t cells = 1;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    highest[axis + 1] = static_cast<std::int32_t>(extents[axis] - 1);
    cells *= extents[axis];
  }
  const KeyLayout layout(static_cast<int>(extents.size()) + 1, {}, highest);
  auto* keys = context.arena->allocate<std::int64_t>(std::max(clouds, std::int64_t{1}) * cells);
  coordinate_kernels(context.device).box_keys(context, layout, keys);
  return {layout, keys, clouds * cells};
}

// splits[b] * factor for every cloud.
void scale_splits(const std::vector<std::int64_t>& from, std::int64_t factor, std::vector<std::int64_t>& to) {
  to.resize(from.size());
  std::transform(from.begin(), from.end(), to.begin(), [&](std::int64_t split) { return split * factor; });
}

void even_splits(std::size_t clouds, std::int64_t rows_each, std::vector<std::int64_t>& to) {
  to.resize(clouds + 1);
  for (std::size_t b = 0; b <= clouds; ++b) to[b] = static_cast<std::int64_t>(b) * rows_each;
}

// The extent of a grid whose range bounds it; what rounding adds to a whole number of cells is none of them. What is
// clamped may lie at the range's end.
std::optional<Window::Extents> extent_of(const CellGrid& grid) {
  constexpr float kMostCells = 1 << 30, kRounding = 1e-3f;
  Window::Extents shape{1, 1, 1, 1};
  for (std::size_t axis = 0; axis < grid.size.size(); ++axis) {
    const float cells = (grid.range->highest[axis] - grid.range->lowest[axis]) / grid.size[axis];
    if (!(cells < kMostCells)) return std::nullopt;
    const float count = grid.clamped ? std::floor(cells + kRounding) + 1 : std::ceil(cells - kRounding);
    shape[axis] = std::max(1, static_cast<std::int32_t>(count));
  }
  return shape;
}

}  // namespace

Geometry::Geometry(const Plan& plan, Device device)
    : plan_(plan), arena_(device), rows_(plan.domains.size()), maps_(plan.maps.size()), links_(plan.links.size()) {
  requests_.reserve(plan.maps.size());
  built_.reserve(plan.maps.size());
  for (std::size_t d = 1; d < plan.domains.size(); ++d) {
    const Domain& domain = plan.domains[static_cast<int>(d)];
    if (domain.kind != DomainKind::kCoarser || domain.window.semantics != Semantics::kFloor) continue;
    if (domain.parent != (chain_.empty() ? 0 : chain_.back())) continue;
    Window::Extents stride = domain.window.stride;
    for (std::size_t axis = 0; !strides_.empty() && axis < stride.size(); ++axis) stride[axis] *= strides_.back()[axis];
    chain_.push_back(static_cast<int>(d));
    strides_.push_back(stride);
  }
  levels_.resize(chain_.size());
}

void Geometry::reset() { arena_.reset(); }

void Geometry::set_voxels(const Level& level, const std::optional<Window::Extents>& shape, int domain) {
  DomainRows& input = rows_[static_cast<std::size_t>(domain)];
  input.level = level;
  input.count = level.count;
  input.shape = shape;
}

void Geometry::set_points(const Clouds& clouds, int domain) {
  DomainRows& input = rows_[static_cast<std::size_t>(domain)];
  input.points = clouds.points;
  input.count = clouds.points.count;
  input.splits.assign(clouds.splits, clouds.splits + clouds.count + 1);
}

void Geometry::set_frames(std::int64_t count, int domain) {
  DomainRows& input = rows_[static_cast<std::size_t>(domain)];
  const std::int64_t pixels = plan_.domains[domain].extent.pixels();
  input.count = count * pixels;
  even_splits(static_cast<std::size_t>(count), pixels, input.splits);
}

void Geometry::build(const Context& context, int stage) {
  if (stage == 0) {
    if (plan_.inputs.size() > 1) cloud_count();  // refuses inputs that do not belong together
    coarser_levels(in_place(context), rows_[0].level, strides_, levels_);
  }
  for (std::size_t d = 0; d < rows_.size(); ++d)
    if (plan_.stages[d] == stage) build_domain(context, static_cast<int>(d), rows_[d]);
  build_maps(context, stage);
  for (std::size_t l = 0; l < links_.size(); ++l) {
    const LinkSpec& spec = plan_.links[l];
    if (std::max(plan_.stage(spec.fine), plan_.stage(spec.coarse)) == stage) build_link(context, spec, links_[l]);
  }
}

void Geometry::build_maps(const Context& context, int stage) {
  const auto is_wanted = [&](const MapSpec& spec) {
    return std::max(plan_.stage(spec.fine), plan_.stage(spec.coarse)) == stage;
  };
  requests_.clear();
  for (const MapSpec& spec : plan_.maps)
    if (is_wanted(spec)) requests_.push_back({rows(spec.fine).level, rows(spec.coarse).level, spec.window});
  built_.resize(requests_.size());
  coordinate_kernels(context.device).maps(context, requests_, arena_, built_);
  auto next = built_.begin();
  for (std::size_t m = 0; m < maps_.size(); ++m)
    if (is_wanted(plan_.maps[m])) maps_[m] = *next++;
}

// Clouds, batches or frames: as many as points or frames have; else, as the last voxel of them all tells.
std::int64_t Geometry::cloud_count() const {
  std::optional<std::int64_t> told;
  std::int64_t batches = 0;
  for (const int index : plan_.inputs) {
    const int domain = plan_.value(index).domain;
    const DomainRows& input = rows(domain);
    if (plan_.domains.is_voxels(domain)) {
      const std::int64_t count = input.level.count > 0 ? std::int64_t{input.level.layout.highest(0)} + 1 : 0;
      check_clouds("graph", count - 1, input.level.count);
      batches = std::max(batches, count);
    } else {
      const std::int64_t count = static_cast<std::int64_t>(input.splits.size()) - 1;
      check(told.value_or(count) == count, "[run] the inputs hold ", told.value_or(0), " and ", count,
            " clouds or frames, expected as many of each");
      told = count;
    }
  }
  check(batches <= told.value_or(batches), "[run] voxels lie in ", batches, " batches, the other inputs hold ",
        told.value_or(0), " clouds or frames");
  return told.value_or(batches);
}

void Geometry::build_domain(const Context& context, int index, DomainRows& made) {
  const Domain& domain = plan_.domains[index];
  const DomainRows& parent = rows(std::max(domain.parent, 0));
  switch (domain.kind) {
    case DomainKind::kInput:
      if (plan_.domains.is_images(index)) build_pixels(context, index, made);
      break;
    case DomainKind::kAbove:
    case DomainKind::kTop:
      break;  // given, or made by select()
    case DomainKind::kCoarser:
      build_coarser(context, index, made);
      break;
    case DomainKind::kGenerated:
      made.level = finer_level(in_place(context), parent.level, domain.window, parent.shape);
      made.count = made.level.count;
      made.shape.reset();
      if (domain.window.semantics == Semantics::kBounded) made.shape = finer_shape(*parent.shape, domain.window);
      break;
    case DomainKind::kUnion:
      build_union(context, domain, made);
      break;
    case DomainKind::kOfPoints: {
      const PointCells cells = cells_of_points("voxelize_points", in_place(context), parent.clouds(), domain.cells);
      made.level = cells.level;
      made.count = cells.level.count;
      made.indices = cells.of_point;
      made.shape = extent_of(domain.cells);
      break;
    }
    case DomainKind::kDense:
    case DomainKind::kSamples:
    case DomainKind::kGroups:
      build_from_points(context, domain, made);
      break;
    case DomainKind::kBev:
    case DomainKind::kImages: {
      const std::int64_t images =
          domain.kind == DomainKind::kBev ? cloud_count() : static_cast<std::int64_t>(parent.splits.size()) - 1;
      check_size("run", "images:", images, domain.extent.pixels());
      made.count = images * domain.extent.pixels();
      even_splits(static_cast<std::size_t>(images), domain.extent.pixels(), made.splits);
      build_pixels(context, index, made);
      break;
    }
    case DomainKind::kClouds:
      made.count = cloud_count();
      even_splits(static_cast<std::size_t>(made.count), 1, made.splits);
      break;
  }
}

// What belongs to the parent's points: cells of a dense grid, samples, groups of neighbours.
void Geometry::build_from_points(const Context& context, const Domain& domain, DomainRows& made) {
  const DomainRows& parent = rows(domain.parent);
  const std::size_t clouds = parent.splits.size() - 1;
  const auto& kernels = point_voxel_kernels(context.device);
  if (domain.kind == DomainKind::kDense) {
    const std::int64_t r = domain.grid.resolution;
    made.level = dense_level(in_place(context), static_cast<std::int64_t>(clouds), std::array{r, r, r});
    made.count = made.level.count;
    even_splits(clouds, r * r * r, made.splits);
    auto* coords = arena_.allocate<float>(3 * parent.count);
    kernels.dense_grid_coords(context, parent.clouds(), r, domain.grid.normalize, domain.grid.eps, coords);
    made.grid_coords = coords;
  } else if (domain.kind == DomainKind::kSamples) {
    even_splits(clouds, domain.count, made.splits);
    made.count = made.splits.back();
    auto* samples = arena_.allocate<std::int32_t>(made.count);
    kernels.furthest_points(context, parent.clouds(), domain.count, Ties::kPvcnn, samples);
    made.indices = samples;
    const RowView xyz{arena_.allocate<float>(3 * made.count), 3, made.count, 3, DType::kF32};
    row_kernels(context.device).gather(context, parent.points.columns(0, 3), samples, xyz);
    made.points = xyz;
  } else {
    scale_splits(parent.splits, domain.count, made.splits);
    made.count = parent.count * domain.count;
    auto* neighbors = arena_.allocate<std::int32_t>(made.count);
    kernels.ball_query(context, rows(domain.points).clouds(), parent.clouds(), domain.radius * domain.radius,
                       domain.count, neighbors);
    made.indices = neighbors;
  }
}

// Coordinates of the pixels of images, which only maps need.
void Geometry::build_pixels(const Context& context, int index, DomainRows& images) {
  const Extent2d extent = plan_.domains[index].extent;
  const bool in_a_map = std::any_of(plan_.maps.begin(), plan_.maps.end(),
                                    [&](const MapSpec& spec) { return spec.fine == index || spec.coarse == index; });
  if (in_a_map)
    images.level =
        dense_level(in_place(context), images.count / extent.pixels(), std::array{extent.height, extent.width});
}

void Geometry::build_link(const Context& context, const Resampling& resampling, std::int64_t pixels, LinkRows& link) {
  link.corners = resampling.corners();
  auto* indices = arena_.allocate<std::int32_t>(pixels * link.corners);
  auto* weights = link.corners > 1 ? arena_.allocate<float>(pixels * link.corners) : nullptr;
  video_kernels(context.device).resample(context, resampling, pixels / resampling.to.pixels(), indices, weights);
  link.parents = link.indices = indices;
  link.weights = weights;
}

void Geometry::build_coarser(const Context& context, int index, DomainRows& made) {
  const Domain& domain = plan_.domains[index];
  const DomainRows& parent = rows(domain.parent);
  if (const auto at = std::find(chain_.begin(), chain_.end(), index); at != chain_.end()) {
    made.level = levels_[static_cast<std::size_t>(at - chain_.begin())];
  } else {
    made.level = coarser_level(in_place(context), parent.level, domain.window, parent.shape);
  }
  made.count = made.level.count;
  made.shape = parent.shape;
  if (made.shape && domain.window.semantics == Semantics::kBounded) {
    made.shape = bounded_shape(*parent.shape, domain.window);
  } else if (made.shape) {
    for (std::size_t d = 0; d < static_cast<std::size_t>(domain.window.dims); ++d)
      (*made.shape)[d] = ((*parent.shape)[d] - 1) / domain.window.stride[d] + 1;
  }
}

void Geometry::build_union(const Context& context, const Domain& domain, DomainRows& made) {
  const DomainRows &first = rows(domain.parent), &second = rows(domain.other);
  auto* places = arena_.allocate<std::int32_t>(first.count + second.count);
  made.level = union_level(in_place(context), first.level, second.level, places);
  made.count = made.level.count;
  made.indices = places;
  made.shape.reset();
  if (!first.shape || !second.shape) return;
  made.shape = first.shape;
  for (std::size_t d = 0; d < made.shape->size(); ++d)
    (*made.shape)[d] = std::max((*first.shape)[d], (*second.shape)[d]);
}

void Geometry::select(const Context& context, int index, const ConstRowView& scores) {
  const Domain& domain = plan_.domains[index];
  const Level& from = rows(domain.parent).level;
  DomainRows& made = rows_[static_cast<std::size_t>(index)];
  const CoordinateKernels& coordinates = coordinate_kernels(context.device);
  const RowKernels& kernels = row_kernels(context.device);
  const std::int64_t axes = from.layout.axes();
  auto* picked = arena_.allocate<std::int32_t>(from.count);
  const Arena::Mark mark = context.arena->mark();
  auto* is_picked = context.arena->allocate<std::uint8_t>(from.count);
  if (domain.kind == DomainKind::kAbove) {
    kernels.above(context, scores, domain.threshold, is_picked);
  } else {
    auto* batches = context.arena->allocate<std::int32_t>(from.count);
    coordinates.batches(context, from, batches);
    kernels.top(context, scores, batches, domain.count, is_picked);
  }
  made.count = kernels.list(context, is_picked, from.count, picked);
  auto* all = context.arena->allocate<std::int32_t>(from.count * axes);
  auto* coords = context.arena->allocate<std::int32_t>(made.count * axes);
  auto* keys = arena_.allocate<std::int64_t>(made.count);
  coordinates.unpack(context, from.keys, from.count, from.layout, all);
  kernels.pick(context, all, axes, picked, made.count, coords);
  coordinates.pack(context, coords, made.count, from.layout, keys);
  context.arena->rewind(mark);
  made.level = {from.layout, keys, made.count};
  made.indices = picked;
  made.shape = rows(domain.parent).shape;
}

void Geometry::build_link(const Context& context, const LinkSpec& spec, LinkRows& link) {
  const DomainRows &fine = rows(spec.fine), &coarse = rows(spec.coarse);
  if (spec.resampling) return build_link(context, *spec.resampling, fine.count, link);
  const Domain& to = plan_.domains[spec.coarse];
  const auto& kernels = point_voxel_kernels(context.device);
  if (plan_.domains.is_selection(spec.fine) && plan_.domains[spec.fine].parent == spec.coarse) {
    link.parents = fine.indices;
    return;
  }
  if (plan_.domains.are_of_points(spec.coarse, spec.fine)) {
    link = {coarse.indices};
    return;
  }
  auto* parents = arena_.allocate<std::int32_t>(fine.count);
  link.parents = parents;
  link.corners = plan_.domains.is_points(spec.coarse) ? 3 : 8;
  const std::int64_t mixed = spec.weighted ? fine.count * link.corners : 0;
  auto* indices = spec.weighted ? arena_.allocate<std::int32_t>(mixed) : nullptr;
  auto* weights = spec.weighted ? arena_.allocate<float>(mixed) : nullptr;
  link.indices = indices;
  link.weights = weights;

  if (build_gather(context, spec, parents)) return;
  if (to.kind == DomainKind::kCoarser) {
    Window::Extents stride{1, 1, 1, 1};
    for (int d = spec.coarse; d != spec.fine; d = plan_.domains[d].parent)
      for (std::size_t axis = 0; axis < stride.size(); ++axis) stride[axis] *= plan_.domains[d].window.stride[axis];
    kernels.link(context, fine.level, coarse.level, stride, parents, indices, weights);
  } else if (to.kind == DomainKind::kDense) {
    const Clouds coords{{coarse.grid_coords, 3, fine.count, 3, DType::kF32},
                        fine.splits.data(),
                        static_cast<std::int64_t>(fine.splits.size()) - 1};
    kernels.dense_cells(context, coords, to.grid.resolution, parents);
    if (spec.weighted) kernels.dense_corners(context, coords, to.grid.resolution, indices, weights);
  } else if (plan_.domains[spec.fine].kind == DomainKind::kGroups && plan_.domains[spec.fine].parent == spec.coarse) {
    const std::int64_t each = plan_.domains[spec.fine].count;
    row_kernels(context.device).number(context, fine.count, each, parents);
  } else if (to.kind == DomainKind::kClouds && plan_.domains.is_voxels(spec.fine)) {
    coordinate_kernels(context.device).batches(context, fine.level, parents);
  } else if (to.kind == DomainKind::kClouds) {
    row_kernels(context.device)
        .number_clouds(context, fine.splits.data(), static_cast<std::int64_t>(fine.splits.size()) - 1, parents);
  } else if (spec.weighted) {
    kernels.three_nearest(context, fine.clouds(), coarse.clouds(), indices, weights);
  }
}

// Links from a union to what it joins, and from voxels to the images that they are seen in.
bool Geometry::build_gather(const Context& context, const LinkSpec& spec, std::int32_t* parents) {
  const Domains& domains = plan_.domains;
  const Domain &from = domains[spec.fine], &to = domains[spec.coarse];
  const DomainRows &fine = rows(spec.fine), &coarse = rows(spec.coarse);
  const RowKernels& kernels = row_kernels(context.device);
  if (from.kind == DomainKind::kUnion && (from.parent == spec.coarse || from.other == spec.coarse)) {
    const std::int32_t* places = fine.indices + (from.parent == spec.coarse ? 0 : rows(from.parent).count);
    const Arena::Mark mark = context.arena->mark();
    auto* numbers = context.arena->allocate<std::int32_t>(coarse.count);
    runtime(context.device)
        .fill(context.device, parents, 0xff, static_cast<std::size_t>(fine.count) * sizeof(*parents));
    kernels.number(context, coarse.count, 1, numbers);
    kernels.place(context, numbers, places, coarse.count, parents);
    context.arena->rewind(mark);
    return true;
  }
  if (!domains.is_images(spec.coarse) || !domains.is_voxels(spec.fine)) return false;
  const BirdEyeView view{domains[domains.view_of(spec.coarse)].axis, 0, to.extent.height, to.extent.width};
  sparse_conv_kernels(context.device).pixels(context, fine.level, view, parents);
  return true;
}

}  // namespace voxshift
