// What an op is: all that the library knows about it stands in one definition, in a file of its own in ops/.
#pragma once

#include <voxshift/graph/graph.h>
#include <voxshift/graph/weights.h>
#include <voxshift/temporal_shift/temporal_shift.h>
#include <voxshift/tensor/error.h>
#include <voxshift/video/window2d.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

struct Draft;
class Lowering;
class Inference;

// Limits that no network of use meets, so that a hostile file costs neither hours nor memory without bound.
constexpr std::int64_t kMostChannels = 1 << 13;
constexpr std::int64_t kMostSamples = 1 << 16;

/// A tensor that a node names.
struct ParameterSpec {
  const char* role;
  const char* text;  ///< shape
  bool required = true;
};

/// What a product of images moves over them.
struct ImageProduct {
  Window2d window;
  bool depthwise = false;  ///< channel by channel
};

/// A definition. `infer` checks one node whose inputs are known and tells its value; `lower` writes it down as steps of
/// a plan. The other functions are for passes, and null where they do not apply.
struct OpDefinition {
  const char* name;
  const char* text;  ///< what it computes, from what
  std::vector<const char*> inputs;
  bool more_inputs = false;  ///< any number of the last one
  std::vector<ParameterSpec> parameters = {};
  std::vector<AttributeSpec> attributes = {};
  int axes = 0;  ///< of its per-axis attributes; 0: the graph's

  ValueType (*infer)(Inference& node);
  void (*lower)(const Draft& draft, Lowering& lowering) = nullptr;  ///< null: by its layout it has no step

  /// Of a product: what it multiplies by. Batch norm, an activation and a sum after it become part of it.
  Weights (*weights)(const Node& node, const Parameters& parameters) = nullptr;

  /// Of an element-wise function that may become the end of the step before it.
  Activation (*activation)(const Node& node) = nullptr;

  /// Of a scale and a shift per channel, which products take in.
  ScaleShift (*scale_shift)(const Node& node, const Parameters& parameters) = nullptr;

  /// Of a product of images. None where its window is another than those that fuse.
  std::optional<ImageProduct> (*image_product)(const Node& node, const Weights& weights) = nullptr;

  /// Of a shift of channels between frames, which a pointwise product reads in place.
  TemporalShift (*shift)(const Node& node) = nullptr;

  /// How its value lies in memory.
  enum class Layout {
    kOwn,
    kJoined,   ///< its inputs side by side, which are written there
    kColumns,  ///< columns [first, ..) of its input, which stay where they are
  };
  Layout layout = Layout::kOwn;

  bool is_sum = false;  ///< of two values: may become the end of a product

  /// Its kernels take values of i8, f16 and bf16; around other ops, coordinates among them, values become f32, but in
  /// networks of f16 on CUDA.
  bool narrow = false;

  bool takes_activation() const { return weights != nullptr || scale_shift != nullptr || is_sum; }
};

/// One node while its graph is checked. Errors name the node and the op.
class Inference {
 public:
  Inference(const Graph& graph, const Node& node, const OpDefinition& op, const Parameters& parameters,
            GraphValues& values)
      : graph_(graph), node_(node), op_(op), parameters_(parameters), values_(values) {}

  const Node& node() const { return node_; }
  int dims() const { return graph_.dims; }
  Domains& domains() { return values_.domains; }

  /// Input i.
  const ValueType& in(std::size_t i) const { return values_.at(node_.inputs[i]); }
  std::size_t inputs() const { return node_.inputs.size(); }

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    check(condition, "[graph] node \"", node_.name, "\" (", op_.name, ") ", parts...);
  }

  /// The shape of a parameter, which has extents. Throws for a missing one.
  const Shape& shape(const char* role) const;

  /// A parameter that the node names is f32 of one of these shapes; a weight with a scale i8.
  void expect_parameter(const char* role, const std::vector<Shape>& allowed) const;

  // The rows that an input is expected on, its domain in return.
  int expect_voxels(std::size_t i) const;
  int expect_points(std::size_t i) const;
  int expect_images(std::size_t i) const;
  void expect_same_rows() const;  ///< of all inputs; the extents of images are compared when they are known
  void expect_coarser(int coarse, int fine) const;  ///< strided convolutions lead from the voxels `fine` to `coarse`

  void expect_same_channels() const;  ///< of the first two inputs

  /// One row per cloud or frame of the input; of voxels one per batch.
  int clouds();

  /// What pooling over the first input's groups gives, else over its clouds or frames.
  int pooled();

 private:
  const Graph& graph_;
  const Node& node_;
  const OpDefinition& op_;
  const Parameters& parameters_;
  GraphValues& values_;
};

/// All definitions, by name.
std::span<const OpDefinition* const> all_ops();

/// The ops that this build has not: those of points where VOXSHIFT_PARTS is video.
std::vector<std::string> left_out_ops();

/// The op of this name; null for an unknown one. Throws BackendUnavailable for one of left_out_ops().
const OpDefinition* find_op(const std::string& name);

// Inference that several ops share.

ValueType same_as_input(Inference& node);   ///< of element-wise ops
ValueType same_as_inputs(Inference& node);  ///< of two inputs with the same rows and channels
ValueType pooled_input(Inference& node);    ///< of pooling over groups, clouds or frames
Domain selection(Inference& node);          ///< of voxels that the second input's numbers select, its kind still open

/// The tensor of role "bias", or another role, where the node names one.
std::optional<Array> bias_of(const Node& node, const Parameters& parameters);
std::optional<Array> parameter_of(const Node& node, const Parameters& parameters, const char* role);

/// Role "weight_scale" of products: what makes a weight i8.
ParameterSpec weight_scale();

}  // namespace voxshift
