#include <voxshift/engine/fuse.h>
#include <voxshift/engine/plan.h>
#include <voxshift/graph/quantized.h>
#include <voxshift/graph/steps.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace voxshift {
namespace {

using Layout = OpDefinition::Layout;

class Planner final : public Lowering {
 public:
  Planner(const Graph& graph, const Parameters& parameters, GraphValues types, Device device, DType dtype)
      : graph_(graph), parameters_(parameters), types_(std::move(types)), device_(device), plan_{types_.domains} {
    plan_.dtype = dtype;
    for (const auto& [value, tensor] : graph.scales) {
      plan_.scales.push_back(scales_of(graph, parameters, types_, value).to(device));
      const float* first = std::as_const(plan_.scales.back()).data<float>();
      scales_[value] = {first, first + types_.channels(value)};
    }
    for (const GraphInput& input : graph.inputs) plan_.inputs.push_back(add_value(input.name, wide()));
  }

  Plan make(Passes passes) {
    const std::vector<Draft> drafts =
        passes == Passes::kAll ? fused_drafts(graph_, parameters_) : plain_drafts(graph_, parameters_);
    for (const Draft& draft : drafts) {
      check(draft.residual.empty() || types_.at(draft.residual).domain == types_.at(draft.output).domain,
            "[plan] node \"", draft.output, "\" adds values of different coordinates");
      add_value(draft.output, dtype_of(draft));
    }
    for (const Draft& draft : drafts) set_scales(draft);
    place_values(drafts);
    for (const Draft& draft : drafts) add_steps(draft);
    for (const std::string& output : graph_.outputs) plan_.outputs.push_back(alone(output));
    set_stages();
    set_lifetimes();
    if (passes == Passes::kAll && !plan_.domains.only_frames()) join_steps();
    return std::move(plan_);
  }

  Device device() const override { return device_; }
  DType input_dtype(const Draft& draft) const override {
    const std::string& value = draft.inputs[0];
    const auto planned = values_.find(value);
    const DType inside = scales_.contains(value) ? DType::kI8 : narrow();  // of a value within a step
    const DType dtype = planned != values_.end() ? plan_.value(planned->second).dtype : inside;
    return reads(draft, dtype) ? dtype : wide();
  }
  Scales scales(const std::string& value) const override {
    const auto found = scales_.find(value);
    return found != scales_.end() ? found->second : Scales{};
  }
  const Domains& domains() const override { return plan_.domains; }
  bool is_input(const std::string& value) const override { return graph_.has_input(value); }
  int domain(const std::string& value) const override { return types_.at(value).domain; }

  std::int64_t channels(const std::string& value) const override { return types_.at(value).channels; }
  const Array& parameter(const Draft& draft, const char* role) const override {
    return parameters_.at(draft.node->parameters.at(role));
  }

  int map(int fine, int coarse, const Window& window) override {
    const MapSpec wanted{fine, coarse, window};
    const auto found = std::find(plan_.maps.begin(), plan_.maps.end(), wanted);
    if (found != plan_.maps.end()) return static_cast<int>(found - plan_.maps.begin());
    plan_.maps.push_back(wanted);
    return static_cast<int>(plan_.maps.size()) - 1;
  }

  int link(int fine, int coarse, bool weighted) override {
    for (std::size_t l = 0; l < plan_.links.size(); ++l)
      if (plan_.links[l].fine == fine && plan_.links[l].coarse == coarse && !plan_.links[l].resampling) {
        plan_.links[l].weighted |= weighted;
        return static_cast<int>(l);
      }
    plan_.links.push_back({fine, coarse, weighted});
    return static_cast<int>(plan_.links.size()) - 1;
  }

  int link(int to, int from, const Resampling& resampling) override {
    const auto found = std::find_if(plan_.links.begin(), plan_.links.end(), [&](const LinkSpec& spec) {
      return spec.fine == to && spec.coarse == from && spec.resampling == resampling;
    });
    if (found != plan_.links.end()) return static_cast<int>(found - plan_.links.begin());
    plan_.links.push_back({to, from, resampling.corners() > 1, resampling});
    return static_cast<int>(plan_.links.size()) - 1;
  }

  void add(const Draft& draft, std::unique_ptr<Step> step, const std::string& other) override {
    const int from = readable(draft, draft.inputs[0]), with = other.empty() ? -1 : readable(draft, other);
    add_step(draft.name(), std::move(step), from, values_.at(draft.output));
    plan_.steps.back()->other = with;
  }

 private:
  // The value of this name, without a buffer yet.
  int add_value(const std::string& name, DType dtype) {
    values_[name] = static_cast<int>(plan_.values.size());
    plan_.values.push_back({types_.at(name).domain, types_.at(name).channels, -1, 0, dtype});
    return values_[name];
  }

  int buffer(int domain, std::int64_t channels, DType dtype) {
    plan_.buffers.push_back({domain, channels, 0, 0, dtype});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  // Of values that are neither i8 nor at the edge of what is narrow; and of inputs, outputs and values of ops that know
  // f32 only: coordinates among the inputs, in metres, keep less than a voxel in f16 or bf16. f16 on CUDA is all.
  DType narrow() const { return plan_.dtype == DType::kI8 ? DType::kF32 : plan_.dtype; }
  DType wide() const {
    return plan_.dtype == DType::kF16 && device_.kind == Device::Kind::kCuda ? DType::kF16 : DType::kF32;
  }

  bool is_output(const std::string& name) const {
    return std::find(graph_.outputs.begin(), graph_.outputs.end(), name) != graph_.outputs.end();
  }

  DType dtype_of(const Draft& draft) const {
    if (scales_.contains(draft.output)) {
      check(draft.op->narrow && !is_output(draft.output), "[plan] the value \"", draft.output, "\" (", draft.op->name,
            ") ", is_output(draft.output) ? "is an output, which" : "is of an op that", " cannot be i8");
      return DType::kI8;
    }
    return draft.op->narrow && !is_output(draft.output) ? narrow() : wide();
  }

  // Columns of a value have its dtype and scales.
  void set_scales(const Draft& draft) {
    PlannedValue& made = at(draft.output);
    if (draft.op->layout == Layout::kColumns) {
      const PlannedValue& whole = at(draft.inputs[0]);
      const std::int64_t first = draft.node->whole("first");
      made.dtype = whole.dtype;
      if (whole.scales.scale != nullptr) made.scales = {whole.scales.scale + first, whole.scales.inverse + first};
    } else if (made.dtype == DType::kI8) {
      made.scales = scales_.at(draft.output);
    }
  }

  // Whether the draft's step takes a value of this dtype: products with weights of f32 take none of i8.
  static bool reads(const Draft& draft, DType dtype) {
    const Draft& first = draft.front.empty() ? draft : draft.front.front();
    return draft.op->narrow && (dtype != DType::kI8 || !first.multiplies() || first.weights.multiplier);
  }

  // The value as the draft's step can read it: in f32 where its kernels do not take another.
  int readable(const Draft& draft, const std::string& name) {
    const int index = values_.at(name);
    const PlannedValue value = plan_.value(index);
    if (value.dtype == wide() || reads(draft, value.dtype)) return index;
    const auto [place, is_new] = wide_.try_emplace(index, static_cast<int>(plan_.values.size()));
    if (is_new) {
      plan_.values.push_back({value.domain, value.channels, buffer(value.domain, value.channels, wide()), 0, wide()});
      add_copy(name, index, place->second);
    }
    return place->second;
  }

  // Whether numbers of one value can stand in place of another's.
  bool same_numbers(const PlannedValue& a, const Scales& of_b, DType dtype_of_b) const {
    if (a.dtype != dtype_of_b) return false;
    if (a.dtype != DType::kI8) return true;
    Array ours({a.channels}, DType::kF32), theirs({a.channels}, DType::kF32);
    const auto bytes = static_cast<std::size_t>(a.channels) * sizeof(float);
    runtime(device_).copy_to_host(device_, ours.memory(), a.scales.scale, bytes);
    runtime(device_).copy_to_host(device_, theirs.memory(), of_b.scale, bytes);
    return std::memcmp(ours.memory(), theirs.memory(), bytes) == 0;
  }

  // Whether a value may be written as columns of another's buffer.
  bool fits(const PlannedValue& part, const PlannedValue& whole, std::int64_t column) const {
    const std::int64_t first = column - whole.column;
    Scales there = whole.scales;
    if (there.scale != nullptr) there = {there.scale + first, there.inverse + first};
    return same_numbers(part, there, whole.dtype);
  }

  PlannedValue& at(const std::string& name) { return plan_.values[static_cast<std::size_t>(values_.at(name))]; }

  // Inputs of a concatenation are written where it wants them: as columns of its buffer. Outer ones first, so that an
  // inner one finds its place. What cannot be placed is copied later. Columns of a value lie in its buffer.
  void place_values(const std::vector<Draft>& drafts) {
    const auto is_columns = [&](const std::string& name) {
      return std::any_of(drafts.begin(), drafts.end(), [&](const Draft& draft) {
        return draft.op->layout == Layout::kColumns && draft.output == name;
      });
    };
    for (auto draft = drafts.rbegin(); draft != drafts.rend(); ++draft) {
      if (draft->op->layout != Layout::kJoined) continue;
      PlannedValue& whole = at(draft->output);
      if (whole.buffer < 0) whole.buffer = buffer(whole.domain, whole.channels, whole.dtype);
      std::int64_t column = whole.column;
      for (const std::string& name : draft->inputs) {
        PlannedValue& part = at(name);
        if (!graph_.has_input(name) && !is_columns(name) && part.buffer < 0 && fits(part, whole, column)) {
          part.buffer = whole.buffer;
          part.column = column;
        }
        column += part.channels;
      }
    }
    for (const auto& [name, index] : values_) {
      PlannedValue& v = plan_.values[static_cast<std::size_t>(index)];
      if (v.buffer < 0 && !is_columns(name)) v.buffer = buffer(v.domain, v.channels, v.dtype);
    }
    for (const Draft& draft : drafts) {
      if (draft.op->layout != Layout::kColumns) continue;
      const PlannedValue& whole = at(draft.inputs[0]);
      at(draft.output).buffer = whole.buffer;
      at(draft.output).column = whole.column + draft.node->whole("first");
    }
  }

  void add_steps(const Draft& draft) {
    if (draft.op->layout == Layout::kColumns) return;
    if (draft.op->layout == Layout::kJoined) return add_copies(draft);
    draft.op->lower(draft, *this);
  }

  void add_step(const std::string& name, std::unique_ptr<Step> step, int from, int to) {
    step->name = name;
    step->input = from;
    step->output = to;
    step->domain = plan_.value(to).domain;
    plan_.steps.push_back(std::move(step));
  }

  void add_copy(const std::string& name, int from, int to) { add_step(name, std::make_unique<AffineStep>(), from, to); }

  void add_copies(const Draft& joined) {
    const PlannedValue whole = at(joined.output);
    std::int64_t column = whole.column;
    for (const std::string& name : joined.inputs) {
      const PlannedValue part = at(name);
      if (part.buffer != whole.buffer || part.column != column) {
        const std::int64_t first = column - whole.column;
        Scales scales = whole.scales;
        if (scales.scale != nullptr) scales = {scales.scale + first, scales.inverse + first};
        plan_.values.push_back({part.domain, part.channels, whole.buffer, column, whole.dtype, scales});
        add_copy(joined.name(), values_.at(name), static_cast<int>(plan_.values.size()) - 1);
      }
      column += part.channels;
    }
  }

  // Whether the caller provides the buffer.
  bool is_external(int buffer) const {
    const auto is_of = [&](int value) { return buffer == plan_.value(value).buffer; };
    return std::any_of(plan_.inputs.begin(), plan_.inputs.end(), is_of) ||
           std::any_of(plan_.outputs.begin(), plan_.outputs.end(), is_of);
  }

  // A value that has a buffer for itself: an output is handed to the caller.
  int alone(const std::string& name) {
    const PlannedValue v = at(name);
    const bool is_whole = v.channels == plan_.buffers[static_cast<std::size_t>(v.buffer)].channels;
    if (is_whole && !is_external(v.buffer) && v.dtype == wide()) return values_.at(name);
    plan_.values.push_back({v.domain, v.channels, buffer(v.domain, v.channels, wide()), 0, wide()});
    add_copy(name, values_.at(name), static_cast<int>(plan_.values.size()) - 1);
    return static_cast<int>(plan_.values.size()) - 1;
  }

  void set_stages() {
    const Domains& domains = plan_.domains;
    plan_.stages.assign(domains.size(), 0);
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const Step& step = *plan_.steps[s];
      int& stage = plan_.stages[static_cast<std::size_t>(step.domain)];
      if (!domains.is_selection(step.domain) || stage > 0) continue;
      plan_.selections.push_back({static_cast<int>(s), step.domain, step.other});
      stage = static_cast<int>(plan_.selections.size());
    }
    for (std::size_t d = 0; d < domains.size(); ++d) {
      const Domain& domain = domains[static_cast<int>(d)];
      for (const int from : {domain.parent, domain.points, domain.other})
        if (from >= 0) plan_.stages[d] = std::max(plan_.stages[d], plan_.stage(from));
    }
  }

  void set_lifetimes() {
    const int steps = static_cast<int>(plan_.steps.size());
    for (Buffer& b : plan_.buffers) b.first = steps;
    for (int s = 0; s < steps; ++s) {
      const Step& step = *plan_.steps[static_cast<std::size_t>(s)];
      for (const int v : {step.input, step.other, step.output}) {
        if (v < 0) continue;
        Buffer& b = plan_.buffers[static_cast<std::size_t>(plan_.value(v).buffer)];
        b.first = std::min(b.first, s);
        b.last = s;
      }
    }
  }

  // Neighbouring steps that work row by row on one domain run together, so that what they hand on stays in the cache
  // and what only they use needs no memory for all rows. Not on frames, all of whose values a stream may keep.
  void join_steps() {
    for (std::size_t s = 1; s < plan_.steps.size(); ++s) {
      const Step &before = *plan_.steps[s - 1], &step = *plan_.steps[s];
      plan_.steps[s]->joins = before.row_by_row() && step.row_by_row() && before.domain == step.domain;
    }
    const auto joins = [&](int s) { return plan_.steps[static_cast<std::size_t>(s)]->joins; };
    const int steps = static_cast<int>(plan_.steps.size());
    for (std::size_t b = 0; b < plan_.buffers.size(); ++b) {
      Buffer& buffer = plan_.buffers[b];
      buffer.partial = !is_external(static_cast<int>(b)) && buffer.first < buffer.last;
      for (int s = buffer.first + 1; s <= buffer.last; ++s) buffer.partial &= joins(s);
      // Steps that run together run again for the next rows: what one of them uses must last until all are through.
      while (buffer.first < steps && joins(buffer.first)) --buffer.first;
      while (buffer.last + 1 < steps && joins(buffer.last + 1)) ++buffer.last;
    }
  }

  const Graph& graph_;
  const Parameters& parameters_;
  const GraphValues types_;
  Device device_;
  Plan plan_;
  std::map<std::string, int> values_;
  std::map<std::string, Scales> scales_;  // by name, also of values inside steps
  std::map<int, int> wide_;               // values that steps read in f32
};

}  // namespace

Plan make_plan(const Graph& graph, const Parameters& parameters, Device device, DType dtype, Passes passes,
               const FrameExtents& frames) {
  if (dtype != DType::kI8 && is_quantized(graph)) {
    const Network plain = dequantized({graph, parameters});
    return make_plan(plain.graph, plain.parameters, device, dtype, passes, frames);
  }
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    check(graph.inputs[i].kind != InputKind::kFrames || !graph.inputs[i].rows_of.empty() ||
              (i < frames.size() && frames[i].pixels() > 0),
          "[plan] the network takes frames, of which the extent must be known");
  Graph sorted = graph;
  GraphValues types = check_graph(sorted, parameters, frames);
  return Planner(sorted, parameters, std::move(types), device, dtype).make(passes);
}

}  // namespace voxshift
