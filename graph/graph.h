// A network as a graph of plain ops with named parameters.
#pragma once

#include <voxshift/point_voxel/dense_grid.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/tensor/array.h>
#include <voxshift/tensor/kernel_map.h>
#include <voxshift/video/window2d.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// What a network's rows are at its input.
enum class GraphInput {
  kVoxels,  ///< coordinates of a sparse tensor
  kPoints,  ///< points of one or more clouds; the first three columns are x y z
  kFrames,  ///< pixels of the frames of a video; row y * width + x
};

/// "voxels", "points" or "frames".
const char* name(GraphInput input);

/// Values live on a domain, a set of rows: the input's, that of a strided convolution, or one that an op below makes.
/// `like` is a value whose domain the result takes; only its domain matters.
enum class Op {
  kConv,
  kConvTranspose,
  kLinear,
  kBatchNorm,
  kRelu,
  kRelu6,
  kLeakyRelu,
  kSigmoid,
  kAdd,
  kCat,
  kColumns,              ///< (x): columns [first, first + count)
  kVoxelize,             ///< (x, like): mean of the rows of x in each of like's coarser voxels
  kDevoxelize,           ///< (x, like): trilinear, renormalised, of the voxels x at the finer coordinates of like
  kVoxelizeDense,        ///< (points): mean per cell of a dense grid around each cloud, zero where it is empty
  kDevoxelizeDense,      ///< (cells, like): trilinear at the points of like
  kFurthestPointSample,  ///< (points): coordinates of `count` points of each cloud, a domain of their own
  kCoordinates,          ///< (points): their x y z
  kGroup,                ///< (points, centers): `count` neighbours of each center within `radius`, each x y z relative
                         ///< to it and its features
  kThreeNearest,         ///< (centers, like): mixture of the three nearest centers at the points of like
  kMaxPool,              ///< (x): over the neighbours of each center, else over the rows of each cloud
  kAvgPool,              ///< (x): over the rows of each cloud or frame
  kBroadcast,            ///< (clouds, like): the row of its cloud for every row of like
  kScale,                ///< (x, clouds): x times the row of its cloud, channel by channel
  kConv2d,               ///< (x): 2-D convolution of frames
  kMaxPool2d,            ///< (x): over the window's pixels inside the frame
  kTemporalShift,        ///< (x): some channels of every frame are those of its neighbours in time
};

/// "conv", "conv_transpose", "linear", "batch_norm", "relu", ..: the enumerator in snake_case.
const char* name(Op op);

/// The op of this name; nothing for an unknown one.
std::optional<Op> find_op(const std::string& name);

/// One op. Its value is known by the node's name. `parameters` maps a role to the name of a tensor in the model file:
/// conv, conv_transpose: weight [K, Cin, Cout] or [Cin, Cout] when K = 1, bias [Cout] optional; linear: weight [Cout,
/// Cin] as in torch, bias [Cout] optional; conv2d: weight [Cout, Cin / groups, k, k] as in torch, bias [Cout] optional;
/// batch_norm: weight, bias, running_mean, running_var, all [C].
struct Node {
  std::string name;
  Op op = Op::kConv;
  std::vector<std::string> inputs;
  std::map<std::string, std::string> parameters;
  Window window;            ///< conv, conv_transpose
  float eps = 1e-5f;        ///< batch_norm
  float slope = 0.01f;      ///< leaky_relu
  DenseGridOptions grid;    ///< voxelize_dense
  std::int64_t first = 0;   ///< columns
  std::int64_t count = 0;   ///< columns, furthest_point_sample, group
  float radius = 0;         ///< group, metres
  Window2d window2d;        ///< max_pool2d, conv2d; the latter's kernel is set by check_graph, from the weight
  std::int64_t groups = 1;  ///< conv2d
  TemporalShift shift;      ///< temporal_shift
};

/// Nodes in an order in which every input comes before its user; the network's input is called "input".
struct Graph {
  GraphInput input = GraphInput::kVoxels;
  int dims = 3;
  std::int64_t in_channels = 0;
  std::vector<Node> nodes;
  std::string output;
};

constexpr const char* kGraphInput = "input";

/// The graph as the JSON text of a model file, and back. graph_from_text throws InvalidArgument naming what is missing
/// or of the wrong type; it does not know the parameters, so check_graph must follow.
std::string to_text(const Graph& graph);
Graph graph_from_text(const std::string& text);

using Parameters = std::map<std::string, Array>;

/// Sorts the nodes and checks names, ops, arity and cycles, and each parameter's presence, dtype f32 and shape. A
/// network on frames has 2 dimensions and, beside the ops of frames, takes linear, batch_norm, relu, relu6, leaky_relu,
/// add and avg_pool; no other network takes the ops of frames. Throws InvalidArgument naming the node. Gives the
/// channels of every value, keyed by name.
std::map<std::string, std::int64_t> check_graph(Graph& graph, const Parameters& parameters);

}  // namespace voxshift
