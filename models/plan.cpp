#include <voxshift/models/fuse.h>
#include <voxshift/models/plan.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <map>

namespace voxshift {
namespace {

class Planner {
 public:
  Planner(const Model& model, Device device) : model_(model), device_(device) {
    plan_.grids.push_back({});
    plan_.input = value(kGraphInput, 0);
  }

  Plan make() {
    const std::vector<Draft> drafts = fused_drafts(model_.graph(), model_.parameters());
    for (const Draft& draft : drafts) add_grid(draft);
    place_concatenations(drafts);
    for (const Draft& draft : drafts) add_steps(draft);
    plan_.output = alone(model_.graph().output);
    set_lifetimes();
    return std::move(plan_);
  }

 private:
  // The value of this name, without a buffer yet.
  int value(const std::string& name, int grid) {
    values_[name] = static_cast<int>(plan_.values.size());
    plan_.values.push_back({grid, model_.channels().at(name), -1, 0});
    return values_[name];
  }

  int buffer(int grid, std::int64_t channels) {
    plan_.buffers.push_back({grid, channels, 0, 0});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  Value& at(const std::string& name) { return plan_.values[static_cast<std::size_t>(values_.at(name))]; }
  const Grid& grid(int index) const { return plan_.grids[static_cast<std::size_t>(index)]; }

  int coarser_grid(int fine, const Window& window) {
    if (window.semantics == Semantics::kFloor && window.unit_stride()) return fine;
    for (std::size_t g = 0; g < plan_.grids.size(); ++g)
      if (plan_.grids[g].parent == fine && plan_.grids[g].window.same_outputs(window)) return static_cast<int>(g);
    plan_.grids.push_back({fine, window});
    return static_cast<int>(plan_.grids.size()) - 1;
  }

  int finer_grid(int coarse, const Draft& draft) const {
    if (draft.window.semantics == Semantics::kFloor && draft.window.unit_stride()) return coarse;
    const Grid& from = grid(coarse);
    check(from.parent >= 0 && from.window.same_outputs(draft.window), "[plan] node \"", draft.name,
          "\": no convolution of this stride made its input's coordinates");
    return from.parent;
  }

  void add_grid(const Draft& draft) {
    int g = at(draft.inputs[0]).grid;
    for (const std::string& input : draft.inputs)
      check(at(input).grid == g, "[plan] node \"", draft.name, "\" joins values of different coordinates");
    if (draft.op == Op::kConv) g = coarser_grid(g, draft.window);
    if (draft.op == Op::kConvTranspose) g = finer_grid(g, draft);
    check(draft.residual.empty() || at(draft.residual).grid == g, "[plan] node \"", draft.name,
          "\" adds values of different coordinates");
    value(draft.output, g);
  }

  // Inputs of a concatenation are written where it wants them: as columns of its buffer. Outer ones first, so that an
  // inner one finds its place. What cannot be placed is copied later.
  void place_concatenations(const std::vector<Draft>& drafts) {
    for (auto draft = drafts.rbegin(); draft != drafts.rend(); ++draft) {
      if (draft->op != Op::kCat) continue;
      Value& whole = at(draft->output);
      if (whole.buffer < 0) whole.buffer = buffer(whole.grid, whole.channels);
      std::int64_t column = whole.column;
      for (const std::string& name : draft->inputs) {
        Value& part = at(name);
        if (name != kGraphInput && part.buffer < 0) {
          part.buffer = whole.buffer;
          part.column = column;
        }
        column += part.channels;
      }
    }
    for (Value& v : plan_.values)
      if (v.buffer < 0) v.buffer = buffer(v.grid, v.channels);
  }

  int map(int fine, int coarse, const Window& window) {
    const MapSpec wanted{fine, coarse, window};
    const auto found = std::find(plan_.maps.begin(), plan_.maps.end(), wanted);
    if (found != plan_.maps.end()) return static_cast<int>(found - plan_.maps.begin());
    plan_.maps.push_back(wanted);
    return static_cast<int>(plan_.maps.size()) - 1;
  }

  void add_copy(const std::string& name, int from, int to) {
    Step step;
    step.name = name;
    step.kind = StepKind::kAffine;
    step.input = from;
    step.output = to;
    plan_.steps.push_back(std::move(step));
  }

  void add_copies(const Draft& cat) {
    const Value whole = at(cat.output);
    std::int64_t column = whole.column;
    for (const std::string& name : cat.inputs) {
      const Value part = at(name);
      if (part.buffer != whole.buffer || part.column != column) {
        plan_.values.push_back({part.grid, part.channels, whole.buffer, column});
        add_copy(cat.name, values_.at(name), static_cast<int>(plan_.values.size()) - 1);
      }
      column += part.channels;
    }
  }

  void add_steps(const Draft& draft) {
    if (draft.op == Op::kCat) return add_copies(draft);
    Step step;
    step.name = draft.name;
    step.input = values_.at(draft.inputs[0]);
    step.output = values_.at(draft.output);
    step.activation = draft.activation;
    if (!draft.residual.empty()) step.other = values_.at(draft.residual);
    if (draft.op == Op::kAdd) {
      step.kind = StepKind::kAdd;
      step.other = values_.at(draft.inputs[1]);
    } else if (draft.multiplies()) {
      add_product(draft, step);
    } else {
      step.kind = StepKind::kAffine;
      if (draft.norm) {
        step.scale = draft.norm->scale.to(device_);
        step.shift = draft.norm->shift.to(device_);
      }
    }
    plan_.steps.push_back(std::move(step));
  }

  void add_product(const Draft& draft, Step& step) {
    const Array weight = draft.weights.weight.to(device_);
    const bool every_row =
        draft.window.volume() == 1 && draft.window.unit_stride() && draft.window.semantics == Semantics::kFloor;
    if (draft.weights.bias) step.bias = draft.weights.bias->to(device_);
    step.kind = every_row ? StepKind::kLinear : StepKind::kConv;
    if (every_row) {
      step.weights = row_kernels(device_).pack(weight.data<float>(), weight.dim(1), weight.dim(2));
      return;
    }
    const int in = at(draft.inputs[0]).grid, out = at(draft.output).grid;
    step.transposed = draft.op == Op::kConvTranspose;
    step.map = step.transposed ? map(out, in, draft.window) : map(in, out, draft.window);
    step.weights = sparse_conv_kernels(device_).pack(weight.data<float>(), weight.dim(0), weight.dim(1), weight.dim(2));
  }

  // A value that has a buffer for itself: the output is handed to the caller.
  int alone(const std::string& name) {
    const Value v = at(name);
    if (v.channels == plan_.buffers[static_cast<std::size_t>(v.buffer)].channels) return values_.at(name);
    plan_.values.push_back({v.grid, v.channels, buffer(v.grid, v.channels), 0});
    add_copy(name, values_.at(name), static_cast<int>(plan_.values.size()) - 1);
    return static_cast<int>(plan_.values.size()) - 1;
  }

  void set_lifetimes() {
    const int steps = static_cast<int>(plan_.steps.size());
    for (Buffer& b : plan_.buffers) b.first = steps;
    for (int s = 0; s < steps; ++s)
      for (const int v :
           {plan_.steps[static_cast<std::size_t>(s)].input, plan_.steps[static_cast<std::size_t>(s)].other,
            plan_.steps[static_cast<std::size_t>(s)].output}) {
        if (v < 0) continue;
        Buffer& b = plan_.buffers[static_cast<std::size_t>(plan_.values[static_cast<std::size_t>(v)].buffer)];
        b.first = std::min(b.first, s);
        b.last = s;
      }
  }

  const Model& model_;
  Device device_;
  Plan plan_;
  std::map<std::string, int> values_;
};

}  // namespace

Plan make_plan(const Model& model, Device device) { return Planner(model, device).make(); }

}  // namespace voxshift
