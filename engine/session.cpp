#include <voxshift/engine/executor.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/session.h>
#include <voxshift/rows/kernels.h>
#include <voxshift/tensor/kernels.h>

#include <utility>
#include <vector>

namespace voxshift {

struct Session::Impl {
  Impl(const Network& n, Device d, const Threads& t, DType type)
      : graph(n.graph), device(d), pool(t.pool()), dtype(type), detailed(d.kind == Device::Kind::kCpu) {
    if (graph.input == GraphInput::kFrames) {
      Graph checked = graph;
      check_graph(checked, n.parameters);
      parameters = n.parameters;
    } else {
      plan(n.parameters, {});
    }
  }

  // Of frames the plan depends on the extent.
  void plan(const Parameters& weights, Extent2d frame) {
    auto made = std::make_shared<const Plan>(make_plan(graph, weights, device, dtype, Passes::kAll, frame));
    extent = {};
    executor.emplace(std::move(made), device, pool);
    executor->set_detailed(detailed);
    extent = frame;
  }

  // Gives the geometry the rows of x.
  ConstRowView place(const char* op, const SparseTensor& x) {
    check(graph.input == GraphInput::kVoxels, "[", op, "] the model takes ", name(graph.input), ", not voxels");
    check(x.channels() == graph.in_channels && x.dims() == graph.dims, "[", op, "] the model takes ", graph.in_channels,
          " channels on ", graph.dims, " axes, the tensor has ", x.channels(), " on ", x.dims());
    check(x.device() == device, "[", op, "] the tensor is on ", name(x.device()), ", the session on ", name(device));
    executor->reset();
    executor->geometry().set_voxels(x.map()->level(), x.shape());
    return rows_of(x.features());
  }

  ConstRowView place(const char* op, const PointSet& clouds) {
    check(graph.input == GraphInput::kPoints, "[", op, "] the model takes ", name(graph.input), ", not points");
    check(clouds.points.dim(1) == graph.in_channels, "[", op, "] the model takes ", graph.in_channels,
          " channels, points have ", clouds.points.dim(1));
    check(clouds.points.device() == executor->device(), "[", op, "] points are on ", name(clouds.points.device()),
          ", the session on ", name(executor->device()));
    executor->reset();
    executor->geometry().set_points(clouds_of(clouds));
    return rows_of(clouds.points);
  }

  ConstRowView place(const char* op, const Array& frames) {
    check(graph.input == GraphInput::kFrames, "[", op, "] the model takes ", name(graph.input), ", not frames");
    check(
        frames.dtype() == DType::kF32 && frames.rank() == 4 && frames.count() > 0 && frames.dim(3) == graph.in_channels,
        "[", op, "] frames expects f32 [T, H, W, ", graph.in_channels, "], found ", name(frames.dtype()), " ",
        frames.shape());
    check(frames.device() == device, "[", op, "] frames are on ", name(frames.device()), ", the session on ",
          name(device));
    if (const Extent2d found{frames.dim(1), frames.dim(2)}; extent != found) plan(parameters, found);
    executor->reset();
    executor->geometry().set_frames(frames.dim(0));
    return rows_of(frames.reshaped({frames.dim(0) * extent.pixels(), frames.dim(3)}));
  }

  // Fills `features` with those of every output; after place().
  void run(const ConstRowView& in) {
    executor->build();
    const std::size_t count = executor->outputs();
    features.assign(count, std::nullopt);
    memory.assign(count, nullptr);
    executor->run(in, [this](std::size_t o) {
      features[o].emplace(Shape{executor->output_rows(o), executor->output_channels(o)}, DType::kF32,
                          executor->device());
      memory[o] = executor->dtype() == DType::kF32 ? features[o]->memory() : executor->output_memory(o).base;
      return memory[o];
    });
    for (std::size_t o = 0; executor->dtype() != DType::kF32 && o < count; ++o) {
      const RowView wide = rows_of(*features[o]);
      const RowView narrow{memory[o], wide.channels, wide.count, wide.channels, executor->dtype()};
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

  template <class Input>
  Outputs run_all(const Input& input) {
    run(place("run", input));
    Outputs outputs;
    for (std::size_t o = 0; o < features.size(); ++o) outputs[graph.outputs[o]] = {shaped(o), coords(o)};
    executor->reset();
    return outputs;
  }

  template <class Input>
  Array run_only(const Input& input) {
    check(graph.outputs.size() == 1, "[forward] the network has ", graph.outputs.size(), " outputs, which run() gives");
    run(place("forward", input));
    executor->reset();
    return std::move(*features.front());
  }

  Graph graph;
  Parameters parameters;  // of a network on frames
  Device device;
  std::shared_ptr<ThreadPool> pool;
  DType dtype;
  bool detailed;
  std::optional<Executor> executor;            // of frames from the first run on
  Extent2d extent;                             // of frames
  std::vector<std::optional<Array>> features;  // of the outputs of the last run
  std::vector<void*> memory;                   // where they are written, in the plan's dtype
};

Session::Session(const Network& network, Device device, const Threads& threads, std::optional<DType> dtype)
    : impl_(std::make_unique<Impl>(network, device, threads, network_dtype("session", device, dtype))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Outputs Session::run(const SparseTensor& x) { return impl_->run_all(x); }
Outputs Session::run(const PointSet& points) { return impl_->run_all(checked(points, "run", "points")); }
Array Session::forward(const SparseTensor& x) { return impl_->run_only(x); }
Outputs Session::run(const Array& frames) { return impl_->run_all(frames); }
Array Session::forward(const Array& frames) { return impl_->run_only(frames); }
Array Session::forward(const PointSet& points) { return impl_->run_only(checked(points, "forward", "points")); }

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
