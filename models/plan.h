// A model as the executor runs it: batch norm folded, epilogues fused, coordinates and maps known before the first
// multiply, every value a column slice of a buffer.
#pragma once

#include <voxshift/models/fold.h>
#include <voxshift/models/model.h>
#include <voxshift/tensor/packed_weights.h>

#include <memory>
#include <string>
#include <vector>

namespace voxshift {

/// What the executor does at one step.
enum class StepKind {
  kConv,    ///< convolution on a kernel map, forward or transposed
  kLinear,  ///< product of every row; also 1 x 1 convolutions
  kAffine,  ///< act(x * scale + shift), a copy when there is nothing to do
  kAdd,     ///< act(a + b)
};

/// One step. Values are indices into Plan::values.
struct Step {
  std::string name;  ///< of the node that gives the weights
  StepKind kind;
  int input = -1;
  int other = -1;  ///< second summand, or residual of conv and linear; -1: none
  int output = -1;
  int map = -1;             ///< kConv: index into Plan::maps
  bool transposed = false;  ///< the map is used from coarse to fine
  std::shared_ptr<const PackedWeights> weights;
  std::optional<Array> bias, scale, shift;
  Activation activation;
};

/// Coordinates of one resolution: those of the input (parent -1), or of `window` on the parent.
struct Grid {
  int parent = -1;
  Window window;
};

struct MapSpec {
  int fine, coarse;
  Window window;
  bool operator==(const MapSpec&) const = default;
};

/// `channels` columns of a buffer, from `column` on.
struct Value {
  int grid;
  std::int64_t channels;
  int buffer;
  std::int64_t column;
};

/// Rows of one grid, needed from step `first` to step `last`.
struct Buffer {
  int grid;
  std::int64_t channels;
  int first, last;
};

struct Plan {
  std::vector<Grid> grids;
  std::vector<MapSpec> maps;
  std::vector<Value> values;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  int input = -1, output = -1;  ///< values whose buffers the caller provides
};

/// Throws InvalidArgument where values of different coordinates meet or a transposed convolution has nowhere to go back
/// to.
Plan make_plan(const Model& model, Device device);

}  // namespace voxshift
