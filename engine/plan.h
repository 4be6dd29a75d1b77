// A model as the executor runs it: batch norm folded, epilogues fused, coordinates and maps known before the first
// multiply, every value a column slice of a buffer.
#pragma once

#include <voxshift/engine/fold.h>
#include <voxshift/tensor/packed_weights.h>
#include <voxshift/tensor/reduce.h>

#include <memory>
#include <string>
#include <vector>

namespace voxshift {

/// What the executor does at one step. A link goes from a finer set of rows to a coarser one.
enum class StepKind {
  kConv,         ///< convolution on a kernel map, forward or transposed
  kLinear,       ///< product of every row; also 1 x 1 convolutions
  kAffine,       ///< act(x * scale + shift), a copy when there is nothing to do
  kAdd,          ///< act(a + b)
  kSigmoid,      ///< 1 / (1 + exp(-x))
  kCoordinates,  ///< x y z of the domain's points
  kReduce,       ///< rows of a link's finer end, reduced to its coarser end
  kInterpolate,  ///< mixtures of rows of a link's coarser end at its finer end
  kBroadcast,    ///< rows of a link's coarser end, repeated at its finer end
  kGroup,        ///< neighbours of centers: relative positions and features
  kScale,        ///< x times the row of its cloud
};

/// One step. Values are indices into Plan::values.
struct Step {
  std::string name;  ///< of the node that gives the weights
  StepKind kind;
  int input = -1;
  int other = -1;  ///< second summand, residual of conv and linear, factors of kScale; -1: none
  int output = -1;
  int map = -1;             ///< kConv: index into Plan::maps
  int link = -1;            ///< kReduce, kInterpolate, kBroadcast: index into Plan::links
  bool transposed = false;  ///< the map is used from coarse to fine
  std::shared_ptr<const PackedWeights> weights;
  std::optional<Array> bias, scale, shift;
  Activation activation;
  bool residual_last = false;
  Reduce reduce = Reduce::kMean;
  bool joins = false;  ///< runs together with the step before, a few thousand rows at a time

  /// Row i of the output needs row i of inputs on the same domain and nothing else of it.
  bool row_by_row() const {
    return kind == StepKind::kLinear || kind == StepKind::kAffine || kind == StepKind::kAdd ||
           kind == StepKind::kSigmoid || kind == StepKind::kInterpolate || kind == StepKind::kBroadcast;
  }
};

/// A set of rows whose coordinates are known before the first multiply.
struct Domain {
  enum class Kind {
    kInput,    ///< the network's input: voxels or points
    kCoarser,  ///< voxels that `window` makes of the parent's
    kDense,    ///< cells of `grid` around the parent's clouds
    kSamples,  ///< the `count` furthest points of each of the parent's clouds
    kGroups,   ///< for each of the parent's points, `count` of `points`' within `radius`
    kClouds,   ///< one row per cloud
  };
  Kind kind = Kind::kInput;
  int parent = -1;
  Window window;
  DenseGridOptions grid;
  std::int64_t count = 0;
  float radius = 0;
  int points = -1;

  bool operator==(const Domain&) const = default;
};

struct MapSpec {
  int fine, coarse;
  Window window;
  bool operator==(const MapSpec&) const = default;
};

/// How the rows of domain `fine` belong to those of domain `coarse`.
struct LinkSpec {
  int fine, coarse;
  bool weighted;  ///< indices and weights to interpolate are wanted
};

/// `channels` columns of a buffer, from `column` on.
struct Value {
  int domain;
  std::int64_t channels;
  int buffer;
  std::int64_t column;
};

/// Rows of one domain, needed from step `first` to step `last`.
struct Buffer {
  int domain;
  std::int64_t channels;
  int first, last;
  bool partial = false;  ///< only steps that run together use it: it holds the rows they are at
};

struct Plan {
  std::vector<Domain> domains;
  std::vector<MapSpec> maps;
  std::vector<LinkSpec> links;
  std::vector<Value> values;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  int input = -1, output = -1;  ///< values whose buffers the caller provides
  DType dtype = DType::kF32;    ///< of all values

  const Value& value(int index) const { return values[static_cast<std::size_t>(index)]; }
  const Domain& domain(int index) const { return domains[static_cast<std::size_t>(index)]; }
};

/// Whether batch norm is folded and epilogues are fused, or every node is a step that bears its name.
enum class Passes { kAll, kNone };

/// Checks the graph as check_graph does. Throws InvalidArgument where values of different domains meet, a
/// transposed convolution has nowhere to go back to, or an op meets rows that it is not made for.
Plan make_plan(const Graph& graph, const Parameters& parameters, Device device, DType dtype = DType::kF32,
               Passes passes = Passes::kAll);

}  // namespace voxshift
