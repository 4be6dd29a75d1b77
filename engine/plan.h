// A model as the executor runs it: batch norm folded, epilogues fused, every value a column slice of a buffer. Stage 0
// has the coordinates and maps that are known before the first multiply; each selection of rows by features begins
// another one, with what descends from it.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/graph/step.h>
#include <voxshift/video/resampling.h>

#include <memory>
#include <optional>
#include <vector>

namespace voxshift {

struct MapSpec {
  int fine, coarse;
  Window window;
  bool operator==(const MapSpec&) const = default;
};

/// How the rows of domain `fine` belong to those of domain `coarse`.
struct LinkSpec {
  int fine, coarse;
  bool weighted;                              ///< indices and weights to interpolate are wanted
  std::optional<Resampling> resampling = {};  ///< of images: `fine` are the new ones
};

/// Rows that features decide: those of `domain` are known when step `step`, the first on them, begins; the value
/// `scores` is then.
struct Selection {
  int step, domain, scores;
};

/// `channels` columns of a buffer, from `column` on.
struct PlannedValue {
  int domain;
  std::int64_t channels;
  int buffer;
  std::int64_t column;
  DType dtype;
  Scales scales = {};  ///< of i8, in Plan::scales
};

/// Rows of one domain, needed from step `first` to step `last`.
struct Buffer {
  int domain;
  std::int64_t channels;
  int first, last;
  DType dtype;
  bool partial = false;  ///< only steps that run together use it: it holds the rows they are at
};

struct Plan {
  Domains domains;
  std::vector<MapSpec> maps = {};
  std::vector<LinkSpec> links = {};
  std::vector<PlannedValue> values = {};
  std::vector<Buffer> buffers = {};
  std::vector<std::unique_ptr<Step>> steps = {};
  std::vector<Selection> selections = {};  ///< by step
  std::vector<int> stages = {};            ///< by domain: as many selections are made before its rows are known
  std::vector<int> inputs = {};            ///< values whose buffers the caller provides, in the graph's order
  std::vector<int> outputs = {};           ///< likewise
  std::vector<Array> scales = {};          ///< of values, f32 [2, channels] on the device: after them 1 / each
  DType dtype = DType::kF32;               ///< of most values: the narrowest

  int input() const { return inputs.front(); }  ///< of a network with one
  const PlannedValue& value(int index) const { return values[static_cast<std::size_t>(index)]; }
  int stage(int domain) const { return stages[static_cast<std::size_t>(domain)]; }
};

/// Whether batch norm is folded and epilogues are fused, or every node is a step that bears its name.
enum class Passes { kAll, kNone };

/// Checks the graph as check_graph does. `dtype`: of values and weights that may be narrow; i8 of those that have
/// scales, of which others make no use. `frames`: the extents of its frames, which are consecutive ones of a clip.
/// Throws InvalidArgument also where one is missing.
Plan make_plan(const Graph& graph, const Parameters& parameters, Device device, DType dtype = DType::kF32,
               Passes passes = Passes::kAll, const FrameExtents& frames = {});

}  // namespace voxshift
