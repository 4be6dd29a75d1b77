// Where the rows of a plan lie for one run: coordinates of every domain, kernel maps and links between domains.
#pragma once

#include <voxshift/engine/plan.h>
#include <voxshift/tensor/row_view.h>

#include <optional>
#include <vector>

namespace voxshift {

/// Everything about one run's inputs that does not depend on features. Keeps its memory from run to run.
class Geometry {
 public:
  Geometry(const Plan& plan, Device device);

  /// Gives the memory of the last run back.
  void reset();

  /// Memory that lives as long as this run's coordinates.
  Arena& arena() { return arena_; }

  /// The rows of an input, one of the three for each; `domain` is the input's.
  void set_voxels(const Level& level, const std::optional<Window::Extents>& shape, int domain = 0);
  void set_points(const Clouds& clouds, int domain = 0);
  void set_frames(std::int64_t count, int domain = 0);

  /// Computes all the rest of a stage. Throws InvalidArgument for inputs of different numbers of clouds. Scratch comes
  /// from context.arena, here and below.
  void build(const Context& context, int stage);

  /// The rows of a selection, of its parent's numbers `scores`; before its stage is built.
  void select(const Context& context, int domain, const ConstRowView& scores);

  const DomainRows& rows(int domain) const { return rows_[static_cast<std::size_t>(domain)]; }
  PlanRows all() const { return {rows_, maps_, links_}; }
  std::size_t bytes() const { return arena_.bytes(); }

 private:
  std::int64_t cloud_count() const;
  void build_domain(const Context& context, int domain, DomainRows& rows);
  void build_from_points(const Context& context, const Domain& domain, DomainRows& rows);
  void build_pixels(const Context& context, int domain, DomainRows& images);
  void build_coarser(const Context& context, int domain, DomainRows& rows);
  void build_union(const Context& context, const Domain& domain, DomainRows& rows);
  void build_maps(const Context& context, int stage);
  bool build_gather(const Context& context, const LinkSpec& spec, std::int32_t* parents);
  void build_link(const Context& context, const LinkSpec& spec, LinkRows& link);
  void build_link(const Context& context, const Resampling& resampling, std::int64_t pixels, LinkRows& link);
  Context in_place(Context context) {
    context.arena = &arena_;
    return context;
  }

  const Plan& plan_;
  Arena arena_;
  std::vector<DomainRows> rows_;
  std::vector<KernelMapViews> maps_;
  std::vector<MapRequest> requests_;  // of the stage that is built, and what becomes of them
  std::vector<KernelMapViews> built_;
  // Domains that follow from the first input's voxels by one kFloor window after the other: a backend makes them
  // together.
  std::vector<int> chain_;
  std::vector<Window::Extents> strides_;  // of the chain, from the input
  std::vector<Level> levels_;
  std::vector<LinkRows> links_;
};

}  // namespace voxshift
