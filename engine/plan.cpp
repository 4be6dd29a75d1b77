#include <voxshift/engine/fuse.h>
#include <voxshift/engine/plan.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/sparse_conv/kernels.h>

#include <algorithm>
#include <map>

namespace voxshift {
namespace {

using DomainKind = Domain::Kind;

bool same_domain(const Domain& a, const Domain& b) {
  if (a.kind != b.kind || a.parent != b.parent) return false;
  return a.kind == DomainKind::kCoarser ? a.window.same_outputs(b.window) : a == b;
}

class Planner {
 public:
  Planner(const Graph& graph, const Parameters& parameters, const std::map<std::string, std::int64_t>& channels,
          Device device, DType dtype)
      : graph_(graph), parameters_(parameters), channels_(channels), device_(device) {
    plan_.dtype = dtype;
    plan_.domains.push_back({});
    plan_.input = value(kGraphInput, 0);
  }

  Plan make(Passes passes) {
    const std::vector<Draft> drafts =
        passes == Passes::kAll ? fused_drafts(graph_, parameters_) : plain_drafts(graph_, parameters_);
    for (const Draft& draft : drafts) add_domain(draft);
    place_concatenations(drafts);
    for (const Draft& draft : drafts) add_steps(draft);
    plan_.output = alone(graph_.output);
    set_lifetimes();
    if (passes == Passes::kAll) join_steps();
    return std::move(plan_);
  }

 private:
  // The value of this name, without a buffer yet.
  int value(const std::string& name, int domain) {
    values_[name] = static_cast<int>(plan_.values.size());
    plan_.values.push_back({domain, channels_.at(name), -1, 0});
    return values_[name];
  }

  int buffer(int domain, std::int64_t channels) {
    plan_.buffers.push_back({domain, channels, 0, 0});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  Value& at(const std::string& name) { return plan_.values[static_cast<std::size_t>(values_.at(name))]; }

  int domain(const Domain& wanted) {
    for (std::size_t d = 0; d < plan_.domains.size(); ++d)
      if (same_domain(plan_.domains[d], wanted)) return static_cast<int>(d);
    plan_.domains.push_back(wanted);
    return static_cast<int>(plan_.domains.size()) - 1;
  }

  static bool keeps_rows(const Window& window) { return window.semantics == Semantics::kFloor && window.unit_stride(); }

  int coarser(int fine, const Draft& draft) {
    if (keeps_rows(draft.window())) return fine;
    check(is_voxels(fine), "[plan] node \"", draft.name(), "\": only voxels have a strided convolution");
    Domain wanted;
    wanted.kind = DomainKind::kCoarser;
    wanted.parent = fine;
    wanted.window = draft.window();
    return domain(wanted);
  }

  int finer(int coarse, const Draft& draft) const {
    if (keeps_rows(draft.window())) return coarse;
    const Domain& from = plan_.domain(coarse);
    check(from.kind == DomainKind::kCoarser && from.window.same_outputs(draft.window()), "[plan] node \"", draft.name(),
          "\": no convolution of this stride made its input's coordinates");
    return from.parent;
  }

  bool is_voxels(int d) const {
    return plan_.domain(d).kind == DomainKind::kCoarser ||
           (plan_.domain(d).kind == DomainKind::kInput && graph_.input == GraphInput::kVoxels);
  }

  bool is_points(int d) const {
    return plan_.domain(d).kind == DomainKind::kSamples ||
           (plan_.domain(d).kind == DomainKind::kInput && graph_.input == GraphInput::kPoints);
  }

  int points_of(const Draft& draft, int d) const {
    check(is_points(d), "[plan] node \"", draft.name(), "\" (", voxshift::name(draft.op), ") takes points");
    return d;
  }

  int clouds(const Draft& draft) {
    check(graph_.input == GraphInput::kPoints, "[plan] node \"", draft.name(), "\" (", voxshift::name(draft.op),
          ") needs a network whose input is points");
    Domain wanted;
    wanted.kind = DomainKind::kClouds;
    return domain(wanted);
  }

  // The domain of a draft's result, where its inputs allow it.
  int result_domain(const Draft& draft) {
    const int in = at(draft.inputs[0]).domain;
    const int other = draft.inputs.size() > 1 ? at(draft.inputs[1]).domain : in;
    Domain made;
    made.parent = in;
    switch (draft.op) {
      case Op::kConv:
      case Op::kConvTranspose:
        check(draft.window().volume() == 1 || is_voxels(in) || plan_.domain(in).kind == DomainKind::kDense,
              "[plan] node \"", draft.name(), "\": a convolution takes voxels or the cells of a dense grid");
        return draft.op == Op::kConv ? coarser(in, draft) : finer(in, draft);
      case Op::kVoxelize:
      case Op::kDevoxelize:
        check(is_voxels(in) && is_voxels(other), "[plan] node \"", draft.name(), "\" takes values on voxels");
        return other;
      case Op::kVoxelizeDense:
        made.parent = points_of(draft, in);
        made.kind = DomainKind::kDense;
        made.grid = draft.node->grid;
        return domain(made);
      case Op::kDevoxelizeDense:
        check(plan_.domain(in).kind == DomainKind::kDense && plan_.domain(in).parent == other, "[plan] node \"",
              draft.name(), "\" takes cells of a grid and a value at the points that it was made of");
        return other;
      case Op::kFurthestPointSample:
        made.parent = points_of(draft, in);
        made.kind = DomainKind::kSamples;
        made.count = draft.node->count;
        return domain(made);
      case Op::kCoordinates:
        return points_of(draft, in);
      case Op::kGroup:
        made.kind = DomainKind::kGroups;
        made.points = points_of(draft, in);
        made.parent = points_of(draft, other);
        made.count = draft.node->count;
        made.radius = draft.node->radius;
        return domain(made);
      case Op::kThreeNearest:
        points_of(draft, in);
        return points_of(draft, other);
      case Op::kMaxPool:
      case Op::kAvgPool:
        return plan_.domain(in).kind == DomainKind::kGroups ? plan_.domain(in).parent : clouds(draft);
      case Op::kBroadcast:
        check(in == clouds(draft), "[plan] node \"", draft.name(), "\" takes one row per cloud");
        return other;
      case Op::kScale:
        check(other == clouds(draft), "[plan] node \"", draft.name(), "\" takes factors of one row per cloud");
        return in;
      default:
        for (const std::string& input : draft.inputs)
          check(at(input).domain == in, "[plan] node \"", draft.name(), "\" joins values of different coordinates");
        return in;
    }
  }

  void add_domain(const Draft& draft) {
    const int d = result_domain(draft);
    check(draft.residual.empty() || at(draft.residual).domain == d, "[plan] node \"", draft.output,
          "\" adds values of different coordinates");
    value(draft.output, d);
  }

  // Inputs of a concatenation are written where it wants them: as columns of its buffer. Outer ones first, so that an
  // inner one finds its place. What cannot be placed is copied later. Columns of a value lie in its buffer.
  void place_concatenations(const std::vector<Draft>& drafts) {
    for (auto draft = drafts.rbegin(); draft != drafts.rend(); ++draft) {
      if (draft->op != Op::kCat) continue;
      Value& whole = at(draft->output);
      if (whole.buffer < 0) whole.buffer = buffer(whole.domain, whole.channels);
      std::int64_t column = whole.column;
      for (const std::string& name : draft->inputs) {
        Value& part = at(name);
        if (name != kGraphInput && !is_columns(drafts, name) && part.buffer < 0) {
          part.buffer = whole.buffer;
          part.column = column;
        }
        column += part.channels;
      }
    }
    for (const auto& [name, index] : values_) {
      Value& v = plan_.values[static_cast<std::size_t>(index)];
      if (v.buffer < 0 && !is_columns(drafts, name)) v.buffer = buffer(v.domain, v.channels);
    }
    for (const Draft& draft : drafts) {
      if (draft.op != Op::kColumns) continue;
      const Value& whole = at(draft.inputs[0]);
      at(draft.output).buffer = whole.buffer;
      at(draft.output).column = whole.column + draft.node->first;
    }
  }

  static bool is_columns(const std::vector<Draft>& drafts, const std::string& name) {
    return std::any_of(drafts.begin(), drafts.end(),
                       [&](const Draft& draft) { return draft.op == Op::kColumns && draft.output == name; });
  }

  int map(int fine, int coarse, const Window& window) {
    const MapSpec wanted{fine, coarse, window};
    const auto found = std::find(plan_.maps.begin(), plan_.maps.end(), wanted);
    if (found != plan_.maps.end()) return static_cast<int>(found - plan_.maps.begin());
    plan_.maps.push_back(wanted);
    return static_cast<int>(plan_.maps.size()) - 1;
  }

  int link(const Draft& draft, int fine, int coarse, bool weighted) {
    if (is_voxels(fine)) {
      int above = coarse;
      while (above != fine && plan_.domain(above).kind == DomainKind::kCoarser &&
             plan_.domain(above).window.semantics == Semantics::kFloor)
        above = plan_.domain(above).parent;
      check(above == fine && coarse != fine, "[plan] node \"", draft.name(),
            "\" needs coarser voxels that strided convolutions made of the finer ones");
    }
    for (std::size_t l = 0; l < plan_.links.size(); ++l)
      if (plan_.links[l].fine == fine && plan_.links[l].coarse == coarse) {
        plan_.links[l].weighted |= weighted;
        return static_cast<int>(l);
      }
    plan_.links.push_back({fine, coarse, weighted});
    return static_cast<int>(plan_.links.size()) - 1;
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
        plan_.values.push_back({part.domain, part.channels, whole.buffer, column});
        add_copy(cat.name(), values_.at(name), static_cast<int>(plan_.values.size()) - 1);
      }
      column += part.channels;
    }
  }

  void add_steps(const Draft& draft) {
    if (draft.op == Op::kColumns) return;
    if (draft.op == Op::kCat) return add_copies(draft);
    Step step;
    step.name = draft.name();
    step.input = values_.at(draft.inputs[0]);
    step.output = values_.at(draft.output);
    step.activation = draft.activation;
    step.residual_last = draft.residual_last;
    if (!draft.residual.empty()) step.other = values_.at(draft.residual);
    const int in = at(draft.inputs[0]).domain, out = at(draft.output).domain;
    switch (draft.op) {
      case Op::kConv:
      case Op::kConvTranspose:
      case Op::kLinear:
        add_product(draft, step);
        break;
      case Op::kAdd:
      case Op::kScale:
        step.kind = draft.op == Op::kAdd ? StepKind::kAdd : StepKind::kScale;
        step.other = values_.at(draft.inputs[1]);
        break;
      case Op::kSigmoid:
        step.kind = StepKind::kSigmoid;
        break;
      case Op::kFurthestPointSample:
      case Op::kCoordinates:
        step.kind = StepKind::kCoordinates;
        break;
      case Op::kGroup:
        step.kind = StepKind::kGroup;
        break;
      case Op::kVoxelize:
      case Op::kVoxelizeDense:
      case Op::kMaxPool:
      case Op::kAvgPool:
        step.kind = StepKind::kReduce;
        step.reduce = draft.op == Op::kMaxPool ? Reduce::kMax : Reduce::kMean;
        step.link = link(draft, in, out, false);
        break;
      case Op::kDevoxelize:
      case Op::kDevoxelizeDense:
      case Op::kThreeNearest:
        step.kind = StepKind::kInterpolate;
        step.link = link(draft, out, in, true);
        break;
      case Op::kBroadcast:
        step.kind = StepKind::kBroadcast;
        step.link = link(draft, out, in, false);
        break;
      default:
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
    const Context context{device_, nullptr, num_threads(), nullptr};
    const bool every_row = draft.window().volume() == 1 && keeps_rows(draft.window());
    if (draft.weights.bias) step.bias = draft.weights.bias->to(device_);
    step.kind = every_row ? StepKind::kLinear : StepKind::kConv;
    if (every_row) {
      step.weights =
          row_kernels(device_).pack(context, weight.data<float>(), weight.dim(1), weight.dim(2), plan_.dtype);
      return;
    }
    const int in = at(draft.inputs[0]).domain, out = at(draft.output).domain;
    step.transposed = draft.op == Op::kConvTranspose;
    step.map = step.transposed ? map(out, in, draft.window()) : map(in, out, draft.window());
    step.weights = sparse_conv_kernels(device_).pack(context, weight.data<float>(), weight.dim(0), weight.dim(1),
                                                     weight.dim(2), plan_.dtype);
  }

  // A value that has a buffer for itself: the output is handed to the caller.
  int alone(const std::string& name) {
    const Value v = at(name);
    const bool is_whole = v.channels == plan_.buffers[static_cast<std::size_t>(v.buffer)].channels;
    if (is_whole && v.buffer != plan_.value(plan_.input).buffer) return values_.at(name);
    plan_.values.push_back({v.domain, v.channels, buffer(v.domain, v.channels), 0});
    add_copy(name, values_.at(name), static_cast<int>(plan_.values.size()) - 1);
    return static_cast<int>(plan_.values.size()) - 1;
  }

  void set_lifetimes() {
    const int steps = static_cast<int>(plan_.steps.size());
    for (Buffer& b : plan_.buffers) b.first = steps;
    for (int s = 0; s < steps; ++s) {
      const Step& step = plan_.steps[static_cast<std::size_t>(s)];
      for (const int v : {step.input, step.other, step.output}) {
        if (v < 0) continue;
        Buffer& b = plan_.buffers[static_cast<std::size_t>(plan_.value(v).buffer)];
        b.first = std::min(b.first, s);
        b.last = s;
      }
    }
  }

  // Neighbouring steps that work row by row on one domain run together, so that what they hand on stays in the cache
  // and what only they use needs no memory for all rows.
  void join_steps() {
    for (std::size_t s = 1; s < plan_.steps.size(); ++s) {
      const Step &before = plan_.steps[s - 1], &step = plan_.steps[s];
      plan_.steps[s].joins = before.row_by_row() && step.row_by_row() &&
                             plan_.value(before.output).domain == plan_.value(step.output).domain;
    }
    const auto joins = [&](int s) { return plan_.steps[static_cast<std::size_t>(s)].joins; };
    const int steps = static_cast<int>(plan_.steps.size());
    for (std::size_t b = 0; b < plan_.buffers.size(); ++b) {
      Buffer& buffer = plan_.buffers[b];
      const auto index = static_cast<int>(b);
      const bool external = index == plan_.value(plan_.input).buffer || index == plan_.value(plan_.output).buffer;
      buffer.partial = !external && buffer.first < buffer.last;
      for (int s = buffer.first + 1; s <= buffer.last; ++s) buffer.partial &= joins(s);
      // Steps that run together run again for the next rows: what one of them uses must last until all are through.
      while (buffer.first < steps && joins(buffer.first)) --buffer.first;
      while (buffer.last + 1 < steps && joins(buffer.last + 1)) ++buffer.last;
    }
  }

  const Graph& graph_;
  const Parameters& parameters_;
  const std::map<std::string, std::int64_t>& channels_;
  Device device_;
  Plan plan_;
  std::map<std::string, int> values_;
};

}  // namespace

Plan make_plan(const Graph& graph, const Parameters& parameters, Device device, DType dtype, Passes passes) {
  check(graph.input != GraphInput::kFrames, "[plan] the network takes frames, which a VideoStream runs");
  Graph sorted = graph;
  const auto channels = check_graph(sorted, parameters);
  return Planner(sorted, parameters, channels, device, dtype).make(passes);
}

}  // namespace voxshift
