// Single convolutions 3^3 on the levels of a scan.
#include <voxshift/engine/session.h>
#include <voxshift/sparse_conv/conv.h>

#include <cmath>

#include "cuda_report.h"
#include "input.h"

namespace voxshift::bench {
namespace {

constexpr float kScale = 1.0f / 48;  // of values in i8, which lie within +-2.6

// A network whose values keep their size: weights of variance 1 / (sums' terms).
class Chain {
 public:
  Chain(std::int64_t channels, double neighbours, DType dtype)
      : channels_(channels), neighbours_(neighbours), i8_(dtype == DType::kI8) {}

  // `count` convolutions one after the other on one map. Inputs of networks are f32: a linear map makes what a first
  // layer in i8 reads.
  Network network(int count) {
    graph_ = {3, {{kGraphInput, InputKind::kVoxels, channels_}}};
    parameters_.clear();
    last_ = kGraphInput;
    random_.seed(1);
    if (i8_) add("first", "linear", {channels_, channels_}, static_cast<double>(channels_), false);
    for (int i = 0; i < count; ++i)
      add("layer" + std::to_string(i), "conv", {27, channels_, channels_}, neighbours_ * static_cast<double>(channels_),
          i8_);
    add("head", "linear", {1, channels_}, static_cast<double>(channels_), i8_);
    graph_.outputs = {"head"};
    return {graph_, parameters_};
  }

 private:
  void add(const std::string& name, const std::string& op, const Shape& shape, double terms, bool narrow) {
    Node node;
    node.name = name;
    node.op = op;
    node.inputs = {last_};
    node.parameters = {{"weight", name + ".weight"}};
    if (op == "conv") node.attributes = {{"kernel_size", PerAxis{3, 3, 3}}};
    const auto bound = static_cast<float>(std::sqrt(3 / terms));
    Array weight = random_array(shape, bound, random_);
    if (narrow) {
      const std::int64_t outputs = op == "conv" ? channels_ : 1;
      node.parameters["weight_scale"] = name + ".scale";
      parameters_[name + ".scale"] =
          Array::from(std::vector<float>(static_cast<std::size_t>(outputs), bound / 127 * kScale), {outputs});
      Array whole(shape, DType::kI8);
      for (std::int64_t i = 0; i < whole.count(); ++i)
        whole.data<std::int8_t>()[i] = static_cast<std::int8_t>(std::nearbyint(weight.data<float>()[i] / bound * 127));
      weight = whole;
    }
    parameters_[name + ".weight"] = weight;
    if (i8_ && name != "head") {
      graph_.scales[name] = name + ".values";
      parameters_[name + ".values"] = Array::from(std::vector<float>{kScale}, {1});
    }
    graph_.nodes.push_back(node);
    last_ = name;
  }

  std::int64_t channels_;
  double neighbours_;
  bool i8_;
  Graph graph_;
  Parameters parameters_;
  std::string last_;
  std::mt19937 random_;
};

// Pairs of each offset of the window on a level.
std::vector<std::int64_t> pairs_of_offsets(const SparseTensor& level) {
  const Array map = kernel_map(level, {});
  std::vector<std::int64_t> of_offset(27);
  for (std::int64_t p = 0; p < map.dim(0); ++p) ++of_offset[static_cast<std::size_t>(map.data<std::int32_t>()[3 * p])];
  return of_offset;
}

void layer(const SparseTensor& level, std::int64_t stride, std::int64_t channels, DType dtype, const CudaRun& run) {
  const std::vector<std::int64_t> of_offset = pairs_of_offsets(level);
  double pairs = 0;
  for (const std::int64_t count : of_offset) pairs += static_cast<double>(count);
  std::mt19937 random;
  const SparseTensor x(level.coords(), random_array({level.size(), channels}, 1, random), {});
  const SparseTensor there(level.coords().to(kCuda), x.features().to(kCuda), {});
  Chain chain(channels, pairs / static_cast<double>(level.size()), dtype);
  const int few = run.tiny ? 1 : 4, many = run.tiny ? 2 : 14;
  Session short_one(chain.network(few), kCuda, 0, dtype), long_one(chain.network(many), kCuda, 0, dtype);
  const std::string name = run.of + "layer stride " + std::to_string(stride) + " " + std::to_string(channels) + " " +
                           std::string(voxshift::name(dtype));
  const DType on_cpu = dtype == DType::kI8 ? dtype : DType::kF32;
  const Array expected = Session(chain.network(few), Device::cpu(), 0, on_cpu).forward(x);
  const Array found = short_one.forward(there).to(Device::cpu());
  if (dtype == DType::kI8)
    check_bits(name, found, expected);
  else
    check_network(name, found.values<float>(), expected.values<float>(), dtype);
  const int repeats = run.tiny ? 1 : 20;
  const double ms = (milliseconds(repeats, [&] { long_one.forward(there); }).median -
                     milliseconds(repeats, [&] { short_one.forward(there); }).median) /
                    (many - few);
  const double flops = 2 * pairs * static_cast<double>(channels * channels);
  const double bytes = 2 * pairs * static_cast<double>(channels) * static_cast<double>(size_of(dtype));
  print(name, {{"ms", ms},
               {"rows", static_cast<double>(level.size())},
               {"pairs", pairs},
               {"of_matmul", flops / (1e-3 * ms) / run.limits.matmul_flops},
               {"of_copy", bytes / (1e-3 * ms) / run.limits.copy_bytes},
               {"cublas_products_ms", 1e3 * offset_products_seconds(of_offset, channels)}});
}

}  // namespace

// of_matmul: of cuBLAS' rate in f16, whatever the dtype; of_copy: a row read and one written per pair.
void measure_layers(const CudaRun& run, DType dtype) {
  const Model model = Model::create({"minkunet", 0.125, 19});
  const std::vector<SparseTensor> levels = levels_of(voxels_of(run.scan, model.profile()));
  struct Case {
    int level;
    std::int64_t channels;
  };
  std::vector<Case> cases{{0, 32}, {0, 64}, {0, 96},  {0, 128}, {1, 32},  {1, 64},
                          {1, 96}, {2, 64}, {2, 128}, {3, 128}, {3, 256}, {4, 256}};
  if (run.tiny) cases = {{0, 32}, {1, 32}};
  for (const auto& [level, channels] : cases)
    layer(levels[static_cast<std::size_t>(level)], std::int64_t{1} << level, channels, dtype, run);
}

void measure_layers(const CudaRun& run) {
  for (const DType dtype : {DType::kF16, DType::kI8}) measure_layers(run, dtype);
}

}  // namespace voxshift::bench
