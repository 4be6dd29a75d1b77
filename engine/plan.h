// A model as the executor runs it: batch norm folded, epilogues fused, coordinates and maps known before the first
// multiply, every value a column slice of a buffer.
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

/// `channels` columns of a buffer, from `column` on.
struct Value {
  int domain;
  std::int64_t channels;
  int buffer;
  std::int64_t column;
  DType dtype;
  float scale = 1;  ///< of whole numbers: n stands for n * scale
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
  std::vector<Value> values = {};
  std::vector<Buffer> buffers = {};
  std::vector<std::unique_ptr<Step>> steps = {};
  int input = -1;                 ///< value whose buffer the caller provides
  std::vector<int> outputs = {};  ///< likewise, in the graph's order
  DType dtype = DType::kF32;      ///< of values whose steps do not say otherwise

  const Value& value(int index) const { return values[static_cast<std::size_t>(index)]; }
};

/// Whether batch norm is folded and epilogues are fused, or every node is a step that bears its name.
enum class Passes { kAll, kNone };

/// Checks the graph as check_graph does. `frame`: the extent of a network's frames, which are consecutive ones of a
/// clip. Throws InvalidArgument also where it is missing.
Plan make_plan(const Graph& graph, const Parameters& parameters, Device device, DType dtype = DType::kF32,
               Passes passes = Passes::kAll, Extent2d frame = {});

}  // namespace voxshift
