#include <voxshift/engine/fuse.h>
#include <voxshift/quantize/graph_uses.h>
#include <voxshift/quantize/narrow_plan.h>
#include <voxshift/quantize/weight_layout.h>
#include <voxshift/tensor/narrow.h>

#include <algorithm>
#include <limits>

namespace voxshift {
namespace {

constexpr std::int64_t kMostTerms = std::numeric_limits<std::int32_t>::max() / (kMostI8 * kMostI8);

// One or all: the numbers of one stand in the other's memory, or are copied as they are.
bool is_tied(const Node& node) { return node.op == "cat" || node.op == "columns" || node.op == "temporal_shift"; }

bool is_maximum(const Node& node) { return node.op == "max_pool" || node.op == "max_pool2d"; }

// Whether an op computes with features alone, row by row or over neighbours: none that decides which rows there are.
bool takes_whole_numbers(const OpDefinition& op) {
  static const std::set<std::string> known{
      "add",     "avg_pool",   "avg_pool2d",       "batch_norm",     "bird_eye_view", "broadcast",  "cat",
      "columns", "devoxelize", "devoxelize_dense", "from_dense",     "max_pool",      "max_pool2d", "pad",
      "pool",    "prelu",      "sum_pool",         "temporal_shift", "upsample",      "voxelize",   "voxelize_dense"};
  return op.narrow && (op.weights != nullptr || op.activation != nullptr || known.contains(op.name));
}

// Why a product cannot be i8; empty where it can.
std::string obstacle(const Node& node, const Parameters& parameters) {
  const OpDefinition& op = *find_op(node.op);
  const bool has_role = std::any_of(op.parameters.begin(), op.parameters.end(), [](const ParameterSpec& parameter) {
    return std::string(parameter.role) == kWeightScale;
  });
  const WeightLayout layout = weight_layout(node, parameters);
  const bool sparse_depthwise = layout.depthwise() && node.op != "conv2d";
  if (!op.narrow || !has_role || sparse_depthwise) return "no i8 kernel";
  return layout.in * layout.taps > kMostTerms ? "sum beyond int32" : "";
}

// What a draft that writes a value, and one that reads it, has to do with it.
struct Uses {
  const Draft* writer = nullptr;
  std::vector<const Draft*> readers;
};

// Drafts with those inside fused blocks, front to back.
std::vector<Draft> flattened(const std::vector<Draft>& drafts) {
  std::vector<Draft> result;
  for (const Draft& draft : drafts) {
    result.insert(result.end(), draft.front.begin(), draft.front.end());
    result.push_back(draft);
    if (draft.front.empty()) continue;
    result.back().inputs = {draft.front.back().output};
    result.back().shift.reset();
  }
  return result;
}

// As what a product multiplies; else it adds it.
bool multiplies(const Draft& draft, const std::string& value) { return draft.multiplies() && draft.inputs[0] == value; }

class NarrowPlanner {
 public:
  NarrowPlanner(const Network& network, const std::set<std::string>& keep)
      : graph_(network.graph), drafts_(flattened(fused_drafts(network.graph, network.parameters))) {
    for (const Draft& draft : drafts_) {
      uses_[draft.output].writer = &draft;
      for (const std::string& input : draft.inputs) uses_[input].readers.push_back(&draft);
      if (!draft.residual.empty()) uses_[draft.residual].readers.push_back(&draft);
    }
    for (const Node& node : graph_.nodes) {
      if (!is_product(node)) continue;
      std::string why = obstacle(node, network.parameters);
      if (why.empty() && keep.contains(node.name)) why = "keep";
      if (!why.empty()) plan_.wide_products[node.name] = why;
    }
  }

  NarrowPlan plan() {
    for (const auto& [value, uses] : uses_)
      if (may_be_narrow(value, uses)) plan_.values.insert(value);
    add_shifted();
    while (drop_half_ties() || drop_useless()) {
    }
    set_products();
    return std::move(plan_);
  }

 private:
  bool may_be_narrow(const std::string& value, const Uses& uses) const {
    if (uses.writer == nullptr || uses.readers.empty() || !takes_whole_numbers(*uses.writer->op)) return false;
    if (std::find(graph_.outputs.begin(), graph_.outputs.end(), value) != graph_.outputs.end()) return false;
    return std::all_of(uses.readers.begin(), uses.readers.end(), [&](const Draft* draft) {
      if (draft->multiplies() && !draft->op->narrow) return true;  // the plan gives it a copy in f32
      const bool is_wide = multiplies(*draft, value) && plan_.wide_products.contains(draft->name());
      return takes_whole_numbers(*draft->op) && !is_wide;
    });
  }

  // Shifts that a product reads in place: their names stand for what they shift.
  void add_shifted() {
    for (const Node& node : graph_.nodes)
      if (node.op == "temporal_shift" && !uses_.contains(node.name) && plan_.values.contains(node.inputs[0]))
        plan_.values.insert(node.name);
  }

  bool drop_half_ties() {
    bool dropped = false;
    for (const Node& node : graph_.nodes) {
      if (!is_tied(node)) continue;
      bool all = plan_.values.contains(node.name);
      for (const std::string& input : node.inputs) all = all && plan_.values.contains(input);
      if (all) continue;
      dropped = plan_.values.erase(node.name) > 0 || dropped;
      for (const std::string& input : node.inputs) dropped = plan_.values.erase(input) > 0 || dropped;
    }
    return dropped;
  }

  bool is_useful(const std::string& value, const Uses& uses) const {
    return std::any_of(uses.readers.begin(), uses.readers.end(), [&](const Draft* draft) {
      if (plan_.values.contains(draft->output)) return true;
      return draft->multiplies() && !(multiplies(*draft, value) && plan_.wide_products.contains(draft->name()));
    });
  }

  // What no product multiplies and no i8 value is made of need not be i8.
  bool drop_useless() {
    bool dropped = false;
    for (const auto& [value, uses] : uses_)
      if (plan_.values.contains(value) && !is_useful(value, uses)) dropped = plan_.values.erase(value) > 0;
    return dropped;
  }

  void set_products() {
    for (const Node& node : graph_.nodes) {
      if (!is_product(node) || plan_.wide_products.contains(node.name)) continue;
      if (plan_.values.contains(node.inputs[0])) {
        plan_.narrow_products.push_back(node.name);
      } else {
        plan_.wide_products[node.name] = graph_.has_input(node.inputs[0]) ? "reads an input" : "reads f32";
      }
    }
  }

  const Graph& graph_;
  const std::vector<Draft> drafts_;
  std::map<std::string, Uses> uses_;
  NarrowPlan plan_;
};

}  // namespace

bool inherits_scales(const Node& node) { return is_tied(node) || is_maximum(node); }

NarrowPlan plan_narrow(const Network& network, const std::set<std::string>& keep) {
  return NarrowPlanner(network, keep).plan();
}

std::map<std::string, std::vector<float>> scales_of_values(const Network& network, const NarrowPlan& plan,
                                                           const std::map<std::string, std::vector<float>>& own) {
  std::map<std::string, std::vector<float>> scales;
  for (const Node& node : network.graph.nodes) {
    if (!plan.values.contains(node.name)) continue;
    const bool inherits = inherits_scales(node) && plan.values.contains(node.inputs[0]);
    if (!inherits) {
      scales[node.name] = own.at(node.name);
      continue;
    }
    std::vector<float>& made = scales[node.name];
    for (const std::string& input : node.inputs) {
      const std::vector<float>& part = scales.at(input);
      made.insert(made.end(), part.begin(), part.end());
    }
    if (node.op != "columns") continue;
    const std::int64_t first = node.whole("first"), channels = node.whole("count");
    made = std::vector<float>(made.begin() + first, made.begin() + first + channels);
  }
  return scales;
}

}  // namespace voxshift
