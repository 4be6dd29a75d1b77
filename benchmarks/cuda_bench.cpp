// The network and single layers on a CUDA device, beside what cuBLAS and a copy reach on it in the same run. Prints one
// JSON document.
//
//   cuda_bench SCAN.bin [all|network|labels|layers|video]
#include <voxshift/sparse_conv/conv.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "cuda_limits.h"
#include "input.h"

namespace voxshift::bench {
namespace {

const Device kDevice = Device::cuda();

struct Times {
  double best, median;
};

// Milliseconds of a call with all its work on the device done.
Times milliseconds(int repeats, const std::function<void()>& call) {
  for (int i = 0; i < 3; ++i) call();
  runtime(kDevice).synchronize(kDevice);
  std::vector<double> all;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    runtime(kDevice).synchronize(kDevice);
    all.push_back(1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(all.begin(), all.end());
  return {all.front(), all[all.size() / 2]};
}

bool first_line = true;

void print(const std::string& name, const std::string& fields) {
  std::printf("%s\n    {\"name\": \"%s\", %s}", first_line ? "" : ",", name.c_str(), fields.c_str());
  first_line = false;
}

std::string text(const char* format, double a, double b = 0, double c = 0, double d = 0, double e = 0, double f = 0) {
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), format, a, b, c, d, e, f);
  return buffer;
}

void network(const Model& model, const Array& points, DType dtype) {
  Segmenter segmenter(model, kDevice, 0, dtype);
  const Times whole = milliseconds(50, [&] { segmenter.segment(points); });
  segmenter.session().report_layers(true);
  std::vector<double> voxelize, maps;
  for (int i = 0; i < 20; ++i) {
    segmenter.segment(points);
    voxelize.push_back(1e3 * segmenter.report().voxelize_seconds);
    maps.push_back(1e3 * segmenter.report().maps_seconds);
  }
  std::sort(voxelize.begin(), voxelize.end());
  std::sort(maps.begin(), maps.end());
  print(std::string("segment ") + model.arch() + " " + name(dtype),
        text("\"ms\": %.4f, \"best_ms\": %.4f, \"voxelize_ms\": %.4f, \"maps_ms\": %.4f, \"gmac\": %.3f", whole.median,
             whole.best, voxelize[10], maps[10], 1e-9 * static_cast<double>(segmenter.report().macs)));
  if (dtype != DType::kF16) return;
  for (const LayerReport& layer : segmenter.report().layers)
    std::fprintf(stderr, "%-28s %-22s %7lld rows %4lld -> %4lld %8lld pairs %8.4f ms\n", layer.name.c_str(),
                 layer.kind.c_str(), static_cast<long long>(layer.rows), static_cast<long long>(layer.in_channels),
                 static_cast<long long>(layer.out_channels), static_cast<long long>(layer.pairs), 1e3 * layer.seconds);
}

// The share of points that the trained model gives the same label in f16 as on the CPU.
void labels(const Array& points) {
  const Model model = Model::load(VOXSHIFT_PRETRAINED "/minkunet-lidar.safetensors");
  const Array expected = Segmenter(model, Device::cpu()).segment(points).labels;
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    const Array found = Segmenter(model, kDevice, 0, dtype).segment(points.to(kDevice)).labels.to(Device::cpu());
    std::int64_t same = 0;
    for (std::int64_t i = 0; i < found.count(); ++i)
      same += found.data<std::uint8_t>()[i] == expected.data<std::uint8_t>()[i];
    print(std::string("labels minkunet-lidar ") + name(dtype),
          text("\"as_on_cpu\": %.6f", static_cast<double>(same) / static_cast<double>(found.count())));
  }
}

// `count` convolutions 3^3, one after the other on one map.
Model chain(std::int64_t channels, int count, std::mt19937& random) {
  Graph graph{3, {{kGraphInput, InputKind::kVoxels, channels}}};
  Parameters parameters;
  std::string last = kGraphInput;
  for (int i = 0; i < count; ++i) {
    Node conv;
    conv.name = "layer" + std::to_string(i);
    conv.op = "conv";
    conv.inputs = {last};
    conv.parameters = {{"weight", conv.name + ".kernel"}};
    conv.attributes = {{"kernel_size", PerAxis{3, 3, 3}}};
    const float bound = 1 / std::sqrt(3 * static_cast<float>(channels));
    parameters.emplace(conv.name + ".kernel", random_array({27, channels, channels}, bound, random));
    last = conv.name;
    graph.nodes.push_back(conv);
  }
  Node head;
  head.name = "head";
  head.op = "linear";
  head.inputs = {last};
  head.parameters = {{"weight", "head.weight"}};
  parameters.emplace("head.weight", random_array({1, channels}, 1, random));
  graph.nodes.push_back(head);
  graph.outputs = {head.name};
  Profile profile;
  profile.scale.assign(static_cast<std::size_t>(channels), 1.0f);
  return {"layer", graph, parameters, profile, {{"value", 0, {}}}};
}

void layer(const SparseTensor& level, std::int64_t stride, std::int64_t channels, DType dtype, double matmul_flops,
           double copy_bytes) {
  std::mt19937 random;
  const SparseTensor x =
      SparseTensor(level.coords().to(kDevice), random_array({level.size(), channels}, 1, random).to(kDevice), {});
  constexpr int kFew = 4, kMany = 14;
  Session few(chain(channels, kFew, random).network(), kDevice, 0, dtype),
      many(chain(channels, kMany, random).network(), kDevice, 0, dtype);
  const double ms =
      (milliseconds(20, [&] { many.forward(x); }).median - milliseconds(20, [&] { few.forward(x); }).median) /
      (kMany - kFew);
  many.report_layers(true);
  many.forward(x);
  const auto pairs = static_cast<double>(many.report().layers[0].pairs);
  const double macs = pairs * static_cast<double>(channels * channels);
  const Array map = kernel_map(level, {});
  std::vector<std::int64_t> of_offset(27);
  for (std::int64_t p = 0; p < map.dim(0); ++p) ++of_offset[static_cast<std::size_t>(map.data<std::int32_t>()[3 * p])];
  const double bytes = 2 * pairs * static_cast<double>(channels) * (dtype == DType::kF16 ? 2 : 4);
  print("layer stride " + std::to_string(stride) + " " + std::to_string(channels) + " " + name(dtype),
        text("\"ms\": %.4f, \"rows\": %.0f, \"pairs\": %.0f, \"of_matmul\": %.4f, \"of_copy\": %.3f, "
             "\"cublas_products_ms\": %.4f",
             ms, static_cast<double>(x.size()), pairs, 2 * macs / (1e-3 * ms) / matmul_flops,
             bytes / (1e-3 * ms) / copy_bytes, 1e3 * offset_products_seconds(of_offset, channels)));
}

void video(double width, DType dtype) {
  try {
    const VideoNetwork net(Model::create({"tsm-mobilenetv2", width, 27, 1}), kDevice, dtype);
    Recognizer stream(net);
    std::mt19937 random;
    Array frame({224, 224, 3}, DType::kU8);
    for (std::int64_t i = 0; i < frame.count(); ++i)
      frame.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(random());
    const Times times = milliseconds(50, [&] { stream.push(frame); });
    print("push tsm-mobilenetv2 " + std::to_string(width) + " " + name(dtype),
          text("\"ms\": %.4f, \"best_ms\": %.4f", times.median, times.best));
  } catch (const Error& error) {
    std::fprintf(stderr, "video: %s\n", error.what());
  }
}

int run(int argc, char** argv) {
  const Array scan = load_scan(argc > 1 ? argv[1] : "");
  const std::string part = argc > 2 ? argv[2] : "all";
  const auto wanted = [&](const char* name) { return part == "all" || part == name; };
  const Model model = load_model("");
  const Limits limits = measure_limits();
  std::printf("{\"device\": \"%s\", \"matmul_f16_tflops\": %.1f, \"copy_gb_per_s\": %.0f, \"results\": [",
              runtime(kDevice).target(kDevice).c_str(), 1e-12 * limits.matmul_flops, 1e-9 * limits.copy_bytes);
  if (wanted("network")) {
    const Array points = scan.to(kDevice);
    network(model, points, DType::kF16);
    network(model, points, DType::kF32);
  }
  if (wanted("labels")) labels(scan);
  const std::vector<SparseTensor> levels = levels_of(voxels_of(scan, model.profile()));
  if (wanted("layers"))
    for (const auto& [level, channels] : {std::pair{0, 32},
                                          {0, 64},
                                          {0, 96},
                                          {0, 128},
                                          {1, 32},
                                          {1, 64},
                                          {1, 96},
                                          {2, 64},
                                          {2, 128},
                                          {3, 128},
                                          {3, 256},
                                          {4, 256}})
      layer(levels[static_cast<std::size_t>(level)], std::int64_t{1} << level, channels, DType::kF16,
            limits.matmul_flops, limits.copy_bytes);
  if (wanted("video"))
    for (const DType dtype : {DType::kF16, DType::kF32}) video(1.0, dtype);
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace voxshift::bench

int main(int argc, char** argv) {
  try {
    return voxshift::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_bench: %s\n", error.what());
    return 1;
  }
}
