// One step of a plan, which runs itself.
#pragma once

#include <voxshift/point_voxel/point_set.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/tensor/level.h>
#include <voxshift/tensor/runtime.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

/// The rows of one domain.
struct DomainRows {
  std::int64_t count = 0;
  Level level;                           ///< voxels and cells of a dense grid
  std::optional<Window::Extents> shape;  ///< voxels whose tensor has one
  ConstRowView points;                   ///< points: x y z first
  std::vector<std::int64_t> splits;      ///< rows of each cloud, but for voxels
  const float* grid_coords = nullptr;    ///< cells: [points of the parent, 3]
  /// Samples and selected rows: rows of the parent; groups: rows of `points`; unions: own rows of the parent's rows,
  /// then of the other's; voxels of points: [points of the parent] its voxel, -1 for none.
  const std::int32_t* indices = nullptr;

  Clouds clouds() const { return {points, splits.data(), static_cast<std::int64_t>(splits.size()) - 1}; }
};

/// How the rows of a finer domain belong to those of a coarser one.
struct LinkRows {
  const std::int32_t* parents = nullptr;  ///< [fine]: the coarse row of each fine one, -1 for none
  const std::int32_t* indices = nullptr;  ///< [fine, corners]: coarse rows to mix, -1 for none
  const float* weights = nullptr;         ///< [fine, corners]
  std::int64_t corners = 0;
};

/// Everything about one input that does not depend on features: by domain, kernel map and link of the plan.
struct PlanRows {
  std::span<const DomainRows> domains;
  std::span<const KernelMapViews> maps;
  std::span<const LinkRows> links;

  const DomainRows& domain(int index) const { return domains[static_cast<std::size_t>(index)]; }
  const KernelMapViews& map(int index) const { return maps[static_cast<std::size_t>(index)]; }
  const LinkRows& link(int index) const { return links[static_cast<std::size_t>(index)]; }
};

/// What a step works on: rows [first, first + y.count) of its output, and of inputs on the same domain; other inputs
/// whole.
struct StepRun {
  Context context;
  const PlanRows& rows;
  ConstRowView x, other;
  RowView y;
  std::int64_t first = 0;
};

/// A step. Values are indices into Plan::values; those it reads and writes are set when it is added to the plan.
class Step {
 public:
  virtual ~Step() = default;

  /// What a report calls it: "conv 3x3x3 / 2", "linear", "mean" ..
  virtual std::string kind() const = 0;

  virtual void run(const StepRun& run) const = 0;

  /// Row i of the output needs row i of inputs on the same domain and nothing else of it.
  virtual bool row_by_row() const { return false; }

  /// Pairs of an input and an output row that are multiplied by a matrix.
  virtual std::int64_t pairs(const Context&, const PlanRows&) const { return 0; }

  /// Its channels fall into so many groups, each of which is multiplied by itself.
  virtual std::int64_t groups() const { return 1; }

  /// Multiply-adds: those of the pairs, but where a step knows better.
  virtual std::int64_t macs(const PlanRows&, std::int64_t pairs, std::int64_t in_channels,
                            std::int64_t out_channels) const {
    return pairs * in_channels * out_channels / groups();
  }

  /// Of its weights.
  virtual std::size_t bytes() const { return 0; }

  std::string name;  ///< of the node that gives the weights
  int input = -1;
  int other = -1;  ///< second summand, residual, factors; -1: none
  int output = -1;
  int domain = 0;      ///< of the output
  bool joins = false;  ///< runs together with the step before, a few thousand rows at a time
};

}  // namespace voxshift
