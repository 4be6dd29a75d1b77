// What the benchmarks run on, and their command line.
#pragma once

#include <voxshift/tasks/model.h>
#include <voxshift/tensor/sparse_tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace voxshift::bench {

/// NAME [SCAN] [--model=FILE] [--dtype=f32|f16|bf16|i8] [--repeats=N] [--threads=N,N...] [--benchmark_...]
struct Options {
  std::filesystem::path scan;       ///< float32 [N, 4] without a header; see load_scan for what stands in
  std::filesystem::path model;      ///< .safetensors; empty: MinkUNet 1.0 with random weights
  std::optional<DType> dtype = {};  ///< of networks; none: as of the model
  int repeats = 9;
  std::vector<int> threads{1, 2};  ///< each benchmark runs with each of these
};

/// Points f32 [N, 4] of `scan`, else of VOXSHIFT_DATA/lidar/semantickitti_000000.bin, else of a simulated scan, and
/// says which. Throws IoError for a file that is missing or cut.
Array load_scan(const std::filesystem::path& scan);

Model load_model(const std::filesystem::path& model);

/// Voxels of the points as the model's profile makes them, features scaled.
SparseTensor voxels_of(const Array& points, const Profile& profile);

/// The coordinates of x and of four coarser levels, strides 1, 2, 4, 8, 16, each with its own cache of maps. The
/// features of the coarser ones are of no meaning.
std::vector<SparseTensor> levels_of(const SparseTensor& x);

/// f32 of the given shape, uniform in [-bound, bound).
Array random_array(Shape shape, float bound, std::mt19937& random);

/// Throws Error "NAME: result differs ..." where values are no closer than `tolerance` times the largest of `expected`.
void check_close(const std::string& name, const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance);

/// check_close for a network's logits against its graph run node by node in f32, nothing folded or fused. Of another
/// dtype, which random weights forgive less than trained ones, their correlation has to be 0.8 at least.
void check_logits(const Model& model, const SparseTensor& x, const Array& logits, DType dtype = DType::kF32);
void check_logits(const Model& model, const PointSet& x, const Array& logits);

/// The same for any vectors.
void check_network(const std::string& name, std::span<const float> found, std::span<const float> expected, DType dtype);

/// main() of a benchmark: reads the command line, lets `add` register, runs and reports. 1 on an error, said in one
/// line.
int run_benchmarks(int argc, char** argv, const std::function<void(const Options&)>& add);

/// Options from the arguments that Google Benchmark has left. Throws InvalidArgument.
Options parse_options(int argc, char** argv);

}  // namespace voxshift::bench
