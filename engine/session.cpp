#include <voxshift/engine/executor.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/engine/session.h>
#include <voxshift/rows/kernels.h>

#include <utility>

namespace voxshift {

struct Session::Impl {
  Impl(const Network& network, Device device, const Threads& threads, DType dtype)
      : graph(network.graph), executor(make_plan(graph, network.parameters, device, dtype), device, threads) {
    executor.set_detailed(device.kind == Device::Kind::kCpu);
  }

  Array run(const ConstRowView& in) {
    executor.build();
    const std::int64_t rows = executor.output_rows(), channels = executor.output_channels();
    Array out({rows, channels}, DType::kF32, executor.device());
    if (executor.dtype() == DType::kF32) {
      executor.run(in, out.memory());
    } else {
      const RowView narrow = executor.output_memory();
      executor.run(in, narrow.base);
      row_kernels(executor.device()).affine(executor.context(), narrow, nullptr, nullptr, {}, {}, rows_of(out));
    }
    executor.reset();
    return out;
  }

  Graph graph;
  Executor executor;
};

Session::Session(const Network& network, Device device, const Threads& threads, std::optional<DType> dtype)
    : impl_(std::make_unique<Impl>(network, device, threads, network_dtype("session", device, dtype))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Array Session::forward(const SparseTensor& x) {
  Impl& s = *impl_;
  check(s.graph.input == GraphInput::kVoxels, "[forward] the model takes ", name(s.graph.input), ", not voxels");
  check(x.channels() == s.graph.in_channels && x.dims() == s.graph.dims, "[forward] the model takes ",
        s.graph.in_channels, " channels on ", s.graph.dims, " axes, the tensor has ", x.channels(), " on ", x.dims());
  check(x.device() == device(), "[forward] the tensor is on ", name(x.device()), ", the session on ", name(device()));
  s.executor.reset();
  s.executor.geometry().set_voxels(x.map()->level(), x.shape());
  return s.run(rows_of(x.features()));
}

Array Session::forward(const PointSet& points) {
  Impl& s = *impl_;
  check(s.graph.input == GraphInput::kPoints, "[forward] the model takes ", name(s.graph.input), ", not points");
  const PointSet clouds = checked(points, "forward", "points");
  check(clouds.points.dim(1) == s.graph.in_channels, "[forward] the model takes ", s.graph.in_channels,
        " channels, points have ", clouds.points.dim(1));
  check(clouds.points.device() == device(), "[forward] points are on ", name(clouds.points.device()),
        ", the session on ", name(device()));
  s.executor.reset();
  s.executor.geometry().set_points(clouds_of(clouds));
  return s.run(rows_of(clouds.points));
}

void Session::report_layers(bool wanted) { impl_->executor.set_detailed(wanted); }
const RunReport& Session::report() const { return impl_->executor.report(); }
const Graph& Session::graph() const { return impl_->graph; }
Device Session::device() const { return impl_->executor.device(); }
DType Session::dtype() const { return impl_->executor.dtype(); }
int Session::threads() const { return impl_->executor.threads(); }
std::size_t Session::bytes() const { return impl_->executor.bytes(); }
Executor& Session::executor() { return impl_->executor; }

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
