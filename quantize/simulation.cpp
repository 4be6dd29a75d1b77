#include <voxshift/engine/inputs.h>
#include <voxshift/quantize/simulation.h>
#include <voxshift/quantize/weight_layout.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace voxshift {

struct Simulation::Impl {
  Impl(const Network& network, const Threads& chosen) : exact(network), pool(chosen.pool()) {
    check_graph(exact.graph, exact.parameters);
    for (const Node& node : exact.graph.nodes) {
      const auto first = node.inputs.empty() ? std::string() : node.inputs.front();
      if (voxshift::is_product(node)) products.emplace(node.name, first);
    }
  }

  void plan(const FrameExtents& wanted);
  void place(const Inputs& inputs);

  Network exact;
  std::optional<Network> rounded;
  ValueScales scales;
  std::map<std::string, std::string> products;  // their inputs, by node
  std::shared_ptr<ThreadPool> pool;
  FrameExtents extents;
  std::shared_ptr<const Plan> twin;  // with rounded weights
  std::optional<Executor> executor;
  std::vector<InputView> views;
  std::vector<ConstRowView> ins;
  const SimulatedRun* wanted = nullptr;  // of the run at hand
};

namespace {

// Runs the step it stands for, and what else the run at hand asks for.
class SimulatedStep final : public Step {
 public:
  SimulatedStep(std::unique_ptr<Step> step, std::size_t index, bool makes_value, const Simulation::Impl& simulation)
      : exact_(std::move(step)), index_(index), makes_value_(makes_value), simulation_(simulation) {
    name = exact_->name;
    input = exact_->input;
    other = exact_->other;
    output = exact_->output;
    domain = exact_->domain;
    joins = exact_->joins;
  }

  std::string kind() const override { return exact_->kind(); }
  bool row_by_row() const override { return exact_->row_by_row(); }
  std::int64_t pairs(const Context& context, const PlanRows& rows) const override {
    return exact_->pairs(context, rows);
  }
  std::int64_t groups() const override { return exact_->groups(); }
  std::int64_t macs(const PlanRows& rows, std::int64_t pairs, std::int64_t in, std::int64_t out) const override {
    return exact_->macs(rows, pairs, in, out);
  }
  std::size_t bytes() const override { return exact_->bytes(); }

  void run(const StepRun& run) const override {
    if (!makes_value_) return exact_->run(run);  // a copy of what another step made
    const SimulatedRun& wanted = *simulation_.wanted;
    const bool has_twin = simulation_.twin != nullptr && simulation_.products.contains(name) && scales_of_input();
    if (has_twin && wanted.narrow != nullptr && wanted.narrow->contains(name)) {
      run_rounded(run, run.y);
    } else {
      exact_->run(run);
      if (has_twin && wanted.compare) compare(run);
    }
    if (wanted.observe) wanted.observe(name, run.y);
    if (wanted.stored == nullptr) return;
    if (const auto stored = wanted.stored->find(name); stored != wanted.stored->end())
      round_rows(run.y, stored->second, run.y);
  }

 private:
  const std::vector<float>* scales_of_input() const {
    const auto found = simulation_.scales.find(simulation_.products.at(name));
    return found != simulation_.scales.end() ? &found->second : nullptr;
  }

  void run_rounded(const StepRun& run, const RowView& y) const {
    Arena& arena = *run.context.arena;
    const Arena::Mark mark = arena.mark();
    const RowView x{arena.allocate<float>(run.x.count * run.x.channels), run.x.channels, run.x.count, run.x.channels};
    round_rows(run.x, *scales_of_input(), x);
    simulation_.twin->steps[index_]->run({run.context, run.rows, x, run.other, y, run.first});
    arena.rewind(mark);
  }

  void compare(const StepRun& run) const {
    Arena& arena = *run.context.arena;
    const Arena::Mark mark = arena.mark();
    const RowView y{arena.allocate<float>(run.y.count * run.y.channels), run.y.channels, run.y.count, run.y.channels};
    run_rounded(run, y);
    simulation_.wanted->compare(name, run.y, y);
    arena.rewind(mark);
  }

  std::unique_ptr<Step> exact_;
  std::size_t index_;
  bool makes_value_;
  const Simulation::Impl& simulation_;
};

}  // namespace

void Simulation::Impl::plan(const FrameExtents& wanted_extents) {
  const auto plan_of = [&](const Network& network) {
    return make_plan(network.graph, network.parameters, Device::cpu(), DType::kF32, Passes::kNone, wanted_extents);
  };
  executor.reset();
  auto made = std::make_shared<Plan>(plan_of(exact));
  twin = rounded ? std::make_shared<const Plan>(plan_of(*rounded)) : nullptr;
  std::set<std::string> known;  // a value's first step makes it, others copy it
  for (const Node& node : exact.graph.nodes)
    if (node.op == "cat") known.insert(node.name);
  for (std::size_t s = 0; s < made->steps.size(); ++s) {
    const bool makes_value = known.insert(made->steps[s]->name).second;
    made->steps[s] = std::make_unique<SimulatedStep>(std::move(made->steps[s]), s, makes_value, *this);
  }
  executor.emplace(std::move(made), Device::cpu(), pool);
  extents = wanted_extents;
}

void Simulation::Impl::place(const Inputs& inputs) {
  views_of("quantize", exact.graph, inputs, views);
  FrameExtents given(exact.graph.inputs.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    check_input("quantize", exact.graph, i, views[i], Device::cpu());
    given[i] = extent_of(views[i]);
  }
  if (!executor || given != extents) plan(given);
  executor->reset();
  ins.clear();
  for (std::size_t i = 0; i < views.size(); ++i)
    ins.push_back(place_input("quantize", exact.graph, i, views[i], *executor));
}

Simulation::Simulation(const Network& network, const Threads& threads)
    : impl_(std::make_unique<Impl>(network, threads)) {}
Simulation::~Simulation() = default;

void Simulation::set_rounded(const Network& rounded, ValueScales scales) {
  impl_->rounded = rounded;
  impl_->scales = std::move(scales);
  impl_->executor.reset();
}

std::vector<Array> Simulation::run(const Inputs& inputs, const SimulatedRun& wanted) {
  Impl& s = *impl_;
  s.place(inputs);
  s.wanted = &wanted;
  s.executor->build();
  std::vector<Array> outs(s.executor->outputs());
  s.executor->run(s.ins, [&](std::size_t output) {
    outs[output] = Array({s.executor->output_rows(output), s.executor->output_channels(output)}, DType::kF32);
    return outs[output].memory();
  });
  return outs;
}

const RunReport& Simulation::report() const { return impl_->executor->report(); }
bool Simulation::is_product(const std::string& node) const { return impl_->products.contains(node); }

Extent2d Simulation::extent(std::size_t output) const {
  return impl_->executor->plan().domains[impl_->executor->output_domain(output)].extent;
}

}  // namespace voxshift
