// Single submanifold 3^3 layers with ReLU on the levels of a scan, map cached and weights packed, as a Session runs
// them: the layers of MinkUNet, wide ones at stride 1 for peers, and odd widths beside the next multiple of 16. With
// --dtype what a layer reads and writes, and its weights, are narrow; the limit is that of f32 all the same.
#include <voxshift/engine/session.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "input.h"
#include "limits.h"
#include "measure.h"
#include "plain.h"

namespace voxshift::bench {
namespace {

struct Shape3x3x3 {
  int level;  // stride 2^level
  std::int64_t in, out;
};

constexpr Shape3x3x3 kMinkUNet[] = {{0, 32, 32},   {0, 96, 96},   {0, 128, 96},  {1, 32, 32},   {1, 96, 96},
                                    {1, 128, 96},  {2, 64, 64},   {2, 192, 128}, {2, 128, 128}, {3, 128, 128},
                                    {3, 384, 256}, {3, 256, 256}, {4, 256, 256}};
constexpr Shape3x3x3 kWideAtStride1[] = {{0, 64, 64}, {0, 128, 128}, {0, 256, 256}};
// Widths of MinkUNet 0.64 at levels where they occur.
constexpr Shape3x3x3 kOdd[] = {{0, 20, 20}, {2, 40, 40}, {0, 61, 61}, {2, 81, 81}, {3, 163, 163}};

// f32 [..] as whole numbers of -127..127 times the scale that gives them all.
float quantize(Array& values) {
  float most = 0;
  for (const float x : values.values<float>()) most = std::max(most, std::abs(x));
  const float scale = most / 127;
  Array whole(values.shape(), DType::kI8);
  for (std::int64_t i = 0; i < values.count(); ++i)
    whole.data<std::int8_t>()[i] = static_cast<std::int8_t>(std::nearbyint(values.data<float>()[i] / scale));
  values = whole;
  return scale;
}

// relu(conv 3^3) and a linear map to one channel behind it: so the layer's output is a buffer that the session keeps.
// Inputs of networks are f32: for a narrow layer a linear map from one channel makes what it reads.
struct LayerNetwork {
  Network network;
  Array first, kernel, head;  // in f32, as the network has them
};

LayerNetwork layer_network(std::int64_t in, std::int64_t out, DType dtype, std::mt19937& random) {
  const bool narrow = dtype != DType::kF32, i8 = dtype == DType::kI8;
  Node first, conv, relu, head;
  first.name = "first";
  first.op = "linear";
  first.inputs = {kGraphInput};
  first.parameters = {{"weight", "first.weight"}};
  conv.name = "layer";
  conv.op = "conv";
  conv.inputs = {narrow ? first.name : kGraphInput};
  conv.parameters = {{"weight", "layer.kernel"}};
  if (i8) conv.parameters["weight_scale"] = "layer.scale";
  conv.attributes = {{"kernel_size", PerAxis{3, 3, 3}}};
  relu.name = "relu";
  relu.op = "relu";
  relu.inputs = {conv.name};
  head.name = "head";
  head.op = "linear";
  head.inputs = {relu.name};
  head.parameters = {{"weight", "head.weight"}};
  if (i8) head.parameters["weight_scale"] = "head.scale";
  const auto bound = [](std::int64_t fan) { return 1 / std::sqrt(static_cast<float>(fan)); };
  LayerNetwork result{{},
                      random_array({in, 1}, 1, random),
                      random_array({27, in, out}, bound(3 * in), random),
                      random_array({1, out}, bound(out), random)};
  Graph graph{3, {{kGraphInput, InputKind::kVoxels, narrow ? 1 : in}}, {conv, relu, head}, {head.name}};
  if (narrow) graph.nodes.insert(graph.nodes.begin(), first);
  Parameters parameters{{"layer.kernel", result.kernel}, {"head.weight", result.head}};
  if (narrow) parameters["first.weight"] = result.first;
  if (i8) {
    constexpr float kValues = 1.0f / 127;
    for (const auto& [name, weight] : {std::pair("layer", result.kernel), std::pair("head", result.head)}) {
      const std::string tensor = std::string(name) + (weight.rank() == 3 ? ".kernel" : ".weight");
      Array whole = weight.to(Device::cpu());
      const float scale = quantize(whole) * kValues;
      const std::int64_t outputs = weight.rank() == 3 ? out : 1;
      parameters[tensor] = whole;
      parameters[std::string(name) + ".scale"] =
          Array::from(std::vector<float>(static_cast<std::size_t>(outputs), scale), {outputs});
    }
    for (const char* value : {"first", "relu"}) {
      graph.scales[value] = std::string(value) + ".values";
      parameters[std::string(value) + ".values"] = Array::from(std::vector<float>{kValues}, {1});
    }
  }
  result.network = {graph, parameters};
  return result;
}

// One layer on the coordinates of a level.
class Layer {
 public:
  Layer(const SparseTensor& level, std::int64_t in, std::int64_t out, int threads, DType dtype)
      : x_(level.with_features(random_array({level.size(), dtype == DType::kF32 ? in : 1}, 1, random_))),
        layer_(layer_network(in, out, dtype, random_)),
        session_(layer_.network, Device::cpu(), threads, dtype) {}

  double seconds() {
    session_.forward(x_);
    return report().seconds;
  }
  double macs() const { return static_cast<double>(report().macs); }

  // Every 997th row in double.
  void check_result(const RowOfCoordinate& rows) {
    const Array result = session_.forward(x_);
    const Array &weight = layer_.kernel, &head = layer_.head;
    std::vector<float> found, expected;
    for (std::int64_t row = 0; row < x_.size(); row += 997) {
      found.push_back(result.data<float>()[row]);
      double logit = 0;
      for (std::int64_t o = 0; o < weight.dim(2); ++o) {
        double sum = 0;
        for (int k = 0; k < 27; ++k) {
          const std::int64_t neighbour = rows.neighbour(row, k);
          for (std::int64_t i = 0; neighbour >= 0 && i < weight.dim(1); ++i)
            sum += input(neighbour, i) * weight.data<float>()[(k * weight.dim(1) + i) * weight.dim(2) + o];
        }
        logit += std::max(sum, 0.0) * head.data<float>()[o];
      }
      expected.push_back(static_cast<float>(logit));
    }
    const std::string name = "layer " + std::to_string(weight.dim(1)) + "->" + std::to_string(weight.dim(2));
    check_network(name, found, expected, session_.dtype());
  }

 private:
  // What the layer reads.
  double input(std::int64_t row, std::int64_t channel) const {
    const auto* const x = x_.features().data<float>();
    if (session_.dtype() == DType::kF32) return x[row * layer_.kernel.dim(1) + channel];
    return static_cast<double>(x[row]) * layer_.first.data<float>()[channel];
  }

  const LayerReport& report() const {
    const auto& layers = session_.report().layers;
    return *std::find_if(layers.begin(), layers.end(), [](const LayerReport& layer) { return layer.name == "layer"; });
  }

  std::mt19937 random_{1};
  SparseTensor x_;
  LayerNetwork layer_;
  Session session_;
};

struct Levels {
  std::vector<SparseTensor> tensors;
  std::vector<RowOfCoordinate> rows;
};

void report_shape(benchmark::State& state, const Shape3x3x3& shape, int threads) {
  state.counters["stride"] = 1 << shape.level;
  state.counters["in"] = static_cast<double>(shape.in);
  state.counters["out"] = static_cast<double>(shape.out);
  state.counters["on_threads"] = threads;
}

std::string name_of(const char* kind, const Shape3x3x3& shape, int threads) {
  return std::string(kind) + "/stride:" + std::to_string(1 << shape.level) + "/" + std::to_string(shape.in) + "->" +
         std::to_string(shape.out) + "/threads:" + std::to_string(threads);
}

void add_layer(const Options& options, const Levels& levels, const Shape3x3x3& shape, int threads) {
  const DType dtype = options.dtype.value_or(DType::kF32);
  add_benchmark(name_of("layer", shape, threads),
                [&levels, repeats = options.repeats, shape, threads, dtype](benchmark::State& state) {
                  const auto level = static_cast<std::size_t>(shape.level);
                  Layer layer(levels.tensors[level], shape.in, shape.out, threads, dtype);
                  layer.check_result(levels.rows[level]);
                  const Measurement result = measure(
                      repeats, [&] { return fma_peak(threads); }, [&] { return std::vector<double>{layer.seconds()}; });
                  report_shape(state, shape, threads);
                  report_time(state, "layer", result.timings[0]);
                  report_fraction(state, result, result.timings[0], layer.macs());
                  return result.timings[0].median;
                });
}

void add_width(const Options& options, const Levels& levels, const Shape3x3x3& shape, int threads) {
  const DType dtype = options.dtype.value_or(DType::kF32);
  add_benchmark(name_of("width", shape, threads),
                [&levels, repeats = options.repeats, shape, threads, dtype](benchmark::State& state) {
                  const auto level = static_cast<std::size_t>(shape.level);
                  const std::int64_t wider = (shape.in + 15) / 16 * 16;
                  Layer layer(levels.tensors[level], shape.in, shape.out, threads, dtype);
                  Layer padded(levels.tensors[level], wider, wider, threads, dtype);
                  layer.check_result(levels.rows[level]);
                  const Measurement result = measure(
                      repeats, [&] { return fma_peak(threads); },
                      [&] {
                        return std::vector<double>{layer.seconds(), padded.seconds()};
                      });
                  report_shape(state, shape, threads);
                  report_time(state, "layer", result.timings[0]);
                  report_time(state, "padded", result.timings[1]);
                  state.counters["padded_width"] = static_cast<double>(wider);
                  report_fraction(state, result, result.timings[0], layer.macs());
                  return result.timings[0].median;
                });
}

void add(const Options& options) {
  static Levels levels;
  levels.tensors = levels_of(voxels_of(load_scan(options.scan), find_profile("spvnas")));
  for (const SparseTensor& tensor : levels.tensors) levels.rows.emplace_back(tensor.coords());
  for (const int threads : options.threads) {
    for (const Shape3x3x3& shape : kMinkUNet) add_layer(options, levels, shape, threads);
    for (const Shape3x3x3& shape : kWideAtStride1) add_layer(options, levels, shape, threads);
    for (const Shape3x3x3& shape : kOdd) add_width(options, levels, shape, threads);
  }
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) { return voxshift::bench::run_benchmarks(argc, argv, voxshift::bench::add); }
