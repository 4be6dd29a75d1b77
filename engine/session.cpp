#include <voxshift/engine/executor.h>
#include <voxshift/engine/inputs.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/session.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace voxshift {

struct Session::Impl {
  Impl(const Network& n, Device d, const Threads& t, DType type)
      : graph(n.graph), device(d), pool(t.pool()), dtype(type), detailed(d.kind == Device::Kind::kCpu) {
    check_graph(graph, n.parameters);
    if (std::any_of(graph.inputs.begin(), graph.inputs.end(),
                    [](const GraphInput& input) { return input.kind == InputKind::kFrames; })) {
      parameters = n.parameters;
    } else {
      wanted.resize(graph.inputs.size());
      plan(n.parameters);
    }
  }

  // Of frames the plan depends on the extents, those that are wanted.
  void plan(const Parameters& weights) {
    auto made = std::make_shared<const Plan>(make_plan(graph, weights, device, dtype, Passes::kAll, wanted));
    extents.clear();
    executor.emplace(std::move(made), device, pool);
    executor->set_detailed(detailed);
    extents = wanted;
  }

  // Gives the executor the inputs that `views` tells of.
  void place(const char* op) {
    wanted.assign(graph.inputs.size(), {});
    for (std::size_t i = 0; i < views.size(); ++i) {
      check_input(op, graph, i, views[i], device);
      wanted[i] = extent_of(views[i]);
    }
    if (!executor || wanted != extents) plan(parameters);
    executor->reset();
    ins.clear();
    for (std::size_t i = 0; i < views.size(); ++i) ins.push_back(place_input(op, graph, i, views[i], *executor));
  }

  // Fills `features` with those of every output.
  void run(const char* op) {
    place(op);
    executor->build();
    const std::size_t count = executor->outputs();
    features.assign(count, std::nullopt);
    memory.assign(count, nullptr);
    executor->run(ins, [this](std::size_t o) {
      features[o].emplace(Shape{executor->output_rows(o), executor->output_channels(o)}, DType::kF32,
                          executor->device());
      memory[o] = executor->output_dtype(o) == DType::kF32 ? features[o]->memory() : executor->output_memory(o).base;
      return memory[o];
    });
    for (std::size_t o = 0; o < count; ++o) {
      if (executor->output_dtype(o) == DType::kF32) continue;
      const RowView wide = rows_of(*features[o]);
      const RowView narrow{memory[o], wide.channels, wide.count, wide.channels, executor->output_dtype(o)};
      row_kernels(executor->device()).affine(executor->context(), narrow, nullptr, nullptr, {}, {}, wide);
    }
  }

  // The features of an output; images as such.
  Array shaped(std::size_t output) {
    const Extent2d image = executor->plan().domains[executor->output_domain(output)].extent;
    Array& all = *features[output];
    if (image.pixels() == 0) return std::move(all);
    return all.reshaped({all.dim(0) / image.pixels(), image.height, image.width, all.dim(1)});
  }

  Array coords(std::size_t output) {
    const int domain = executor->output_domain(output);
    const Domains& domains = executor->plan().domains;
    const DomainRows& rows = executor->geometry().rows(domain);
    if (domains.is_voxels(domain)) {
      Array result({rows.count, graph.dims + 1}, DType::kI32, device);
      coordinate_kernels(device).unpack(executor->context(), rows.level.keys, rows.count, rows.level.layout,
                                        result.data<std::int32_t>());
      return result;
    }
    if (!domains.is_points(domain)) return {};
    Array result({rows.count, 3}, DType::kF32, device);
    row_kernels(device).affine(executor->context(), rows.points.columns(0, 3), nullptr, nullptr, {}, {},
                               rows_of(result));
    return result;
  }

  Outputs run_all() {
    run("run");
    Outputs outputs;
    for (std::size_t o = 0; o < features.size(); ++o) outputs[graph.outputs[o]] = {shaped(o), coords(o)};
    executor->reset();
    return outputs;
  }

  Outputs run_all(const Inputs& inputs) {
    views_of("run", graph, inputs, views);
    return run_all();
  }

  Outputs run_all(const InputView& x) {
    take_only("run", x);
    return run_all();
  }

  Array run_only(const InputView& x) {
    check(graph.outputs.size() == 1, "[forward] the network has ", graph.outputs.size(), " outputs, which run() gives");
    take_only("forward", x);
    run("forward");
    executor->reset();
    return std::move(*features.front());
  }

  void take_only(const char* op, const InputView& x) {
    check(graph.inputs.size() == 1, "[", op, "] the network has ", graph.inputs.size(),
          " inputs, which run() takes by name");
    views.assign(1, x);
  }

  Graph graph;
  Parameters parameters;  // of a network on frames
  Device device;
  std::shared_ptr<ThreadPool> pool;
  DType dtype;
  bool detailed;
  std::optional<Executor> executor;            // of frames from the first run on
  FrameExtents extents, wanted;                // that it was made for; of the inputs at hand
  std::vector<InputView> views;                // the inputs at hand
  std::vector<ConstRowView> ins;               // their rows
  std::vector<std::optional<Array>> features;  // of the outputs of the last run
  std::vector<void*> memory;                   // where they are written, in the plan's dtype
};

Session::Session(const Network& network, Device device, const Threads& threads, std::optional<DType> dtype)
    : impl_(std::make_unique<Impl>(network, device, threads, network_dtype("session", device, dtype, network.graph))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Outputs Session::run(const Inputs& inputs) { return impl_->run_all(inputs); }
Outputs Session::run(const SparseTensor& x) { return impl_->run_all(&x); }
Outputs Session::run(const PointSet& points) { return impl_->run_all(&points); }
Outputs Session::run(const Array& frames) { return impl_->run_all(&frames); }
Array Session::forward(const SparseTensor& x) { return impl_->run_only(&x); }
Array Session::forward(const PointSet& points) { return impl_->run_only(&points); }
Array Session::forward(const Array& frames) { return impl_->run_only(&frames); }

void Session::report_layers(bool wanted) {
  impl_->detailed = wanted;
  if (impl_->executor) impl_->executor->set_detailed(wanted);
}
const RunReport& Session::report() const {
  static const RunReport none;
  return impl_->executor ? impl_->executor->report() : none;
}
const Graph& Session::graph() const { return impl_->graph; }
Device Session::device() const { return impl_->device; }
DType Session::dtype() const { return impl_->dtype; }
int Session::threads() const { return impl_->pool->threads(); }
std::size_t Session::bytes() const { return impl_->executor ? impl_->executor->bytes() : 0; }
Executor& Session::executor() { return *impl_->executor; }

void RunReport::add(const RunReport& other) {
  voxels += other.voxels;
  macs += other.macs;
  maps_seconds += other.maps_seconds;
  network_seconds += other.network_seconds;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].rows += other.layers[i].rows;
    layers[i].pairs += other.layers[i].pairs;
    layers[i].macs += other.layers[i].macs;
    layers[i].seconds += other.layers[i].seconds;
  }
}

}  // namespace voxshift
