// Inputs and the command line of the benchmarks.
#include "input.h"

#include <benchmark/benchmark.h>
#include <voxshift/engine/evaluate.h>
#include <voxshift/engine/network_dtype.h>
#include <voxshift/sparse_conv/pool.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/version.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>

namespace voxshift::bench {
namespace {

namespace fs = std::filesystem;

int positive(std::string_view option, const std::string& text) {
  const int value = std::atoi(text.c_str());
  check(value >= 1, option, " expects a number from 1 on, found ", text);
  return value;
}

Array read_points(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  check<IoError>(!error, path.string(), ": cannot be read: ", error.message());
  check<IoError>(bytes > 0 && bytes % 16 == 0, path.string(), ": ", bytes, " bytes, expected rows of 4 float32");
  Array points({static_cast<std::int64_t>(bytes / 16), 4}, DType::kF32);
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(points.memory()), static_cast<std::streamsize>(bytes));
  check<IoError>(file.good(), path.string(), ": ended before ", bytes, " bytes");
  return points;
}

double correlation_of(std::span<const float> a, std::span<const float> b) {
  const auto n = static_cast<double>(a.size());
  double sum_a = 0, sum_b = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    sum_a += x, sum_b += y, aa += x * x, bb += y * y, ab += x * y;
  }
  return (n * ab - sum_a * sum_b) / std::sqrt((n * aa - sum_a * sum_a) * (n * bb - sum_b * sum_b));
}

}  // namespace

Array load_scan(const fs::path& scan) {
  fs::path path = scan;
  if (const char* data = std::getenv("VOXSHIFT_DATA"); path.empty() && data != nullptr)
    path = fs::path(data) / "lidar" / "semantickitti_000000.bin";
  if (path.empty()) {
    std::cerr << "no scan named and VOXSHIFT_DATA unset: a simulated scan stands in\n";
    benchmark::AddCustomContext("scan", "simulated, seed 1");
    const SynthScan synthetic = synth_lidar(1);
    return Array::from(synthetic.points, {static_cast<std::int64_t>(synthetic.points.size()) / 4, 4});
  }
  benchmark::AddCustomContext("scan", path.filename().string());
  return read_points(path);
}

Model load_model(const fs::path& model) { return model.empty() ? Model::create({}) : Model::load(model); }

SparseTensor voxels_of(const Array& points, const Profile& profile) {
  const SparseTensor x = voxelize(points, profile.voxelize).tensor;
  Array features({x.size(), profile.channels()}, DType::kF32);
  for (std::int64_t i = 0; i < x.size(); ++i)
    for (std::int64_t c = 0; c < profile.channels(); ++c)
      features.data<float>()[i * profile.channels() + c] =
          x.features().data<float>()[i * x.channels() + c] * profile.scale[static_cast<std::size_t>(c)];
  return x.with_features(std::move(features));
}

std::vector<SparseTensor> levels_of(const SparseTensor& x) {
  ConvOptions halve;
  halve.kernel_size = halve.stride = {2};
  std::vector<SparseTensor> levels{x};
  for (int level = 1; level < 5; ++level) {
    const SparseTensor coarser = pool(levels.back(), Pooling::kMax, halve);
    levels.emplace_back(coarser.coords(), coarser.features());
  }
  return levels;
}

Array random_array(Shape shape, float bound, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-bound, bound);
  Array array(std::move(shape), DType::kF32);
  std::generate_n(array.data<float>(), array.count(), [&] { return uniform(random); });
  return array;
}

void check_close(const std::string& name, const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance) {
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(found.at(i) - expected[i]));
  }
  check<Error>(worst <= tolerance * largest, name, ": result differs by ", worst, ", expected at most ",
               tolerance * largest);
}

void check_network(const std::string& name, std::span<const float> found, std::span<const float> expected,
                   DType dtype) {
  if (dtype == DType::kF32)
    return check_close(name, {found.begin(), found.end()}, {expected.begin(), expected.end()}, 1e-4);
  const double least = 0.8, correlation = correlation_of(found, expected);
  check<Error>(correlation >= least, name, ": in ", voxshift::name(dtype),
               " the logits correlate with those of f32 by ", correlation, ", expected at least ", least);
}

void check_logits(const Model& model, const SparseTensor& x, const Array& logits, DType dtype) {
  const Array expected = evaluate(model.graph(), model.parameters(), x);
  check_network("network", logits.values<float>(), expected.values<float>(), dtype);
}

void check_logits(const Model& model, const PointSet& x, const Array& logits) {
  const Array expected = evaluate(model.graph(), model.parameters(), x);
  check_network("network", logits.values<float>(), expected.values<float>(), DType::kF32);
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value_of = [&](std::string_view name) {
      return argument.starts_with(name) ? std::string(argument.substr(name.size())) : std::string();
    };
    if (const std::string model = value_of("--model="); !model.empty()) {
      options.model = model;
    } else if (const std::string dtype = value_of("--dtype="); !dtype.empty()) {
      options.dtype = parse_network_dtype("--dtype", dtype);
    } else if (const std::string repeats = value_of("--repeats="); !repeats.empty()) {
      options.repeats = positive("--repeats", repeats);
    } else if (const std::string threads = value_of("--threads="); !threads.empty()) {
      options.threads.clear();
      std::istringstream list(threads);
      for (std::string count; std::getline(list, count, ',');) options.threads.push_back(positive("--threads", count));
    } else {
      check(!argument.starts_with("--") && options.scan.empty(), "unknown argument ", argument,
            ", expected [SCAN] [--model=FILE] [--dtype=NAME] [--repeats=N] [--threads=N,N] [--benchmark_...]");
      options.scan = argument;
    }
  }
  return options;
}

int run_benchmarks(int argc, char** argv, const std::function<void(const Options&)>& add) try {
  benchmark::Initialize(&argc, argv);
  const Options options = parse_options(argc, argv);
  benchmark::AddCustomContext("voxshift", version());
  benchmark::AddCustomContext("target", runtime(Device::cpu()).target(Device::cpu()));
  benchmark::AddCustomContext("compiler", __VERSION__);
  add(options);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
} catch (const std::exception& error) {
  std::cerr << fs::path(argv[0]).filename().string() << ": " << error.what() << '\n';
  return 1;
}

}  // namespace voxshift::bench
