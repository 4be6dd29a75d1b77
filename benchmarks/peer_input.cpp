// Writes what peers are run on and compared with, raw little-endian rows. `peer_input [SCAN] [--model=FILE]
// --out=FOLDER` makes in FOLDER, of networks: coords.i32 [V, 4], features.f32 [V, 4] and logits.f32 [V, classes]; of
// points: points.f32 [N, 3], voxel_of_point.i32 [N], nearest.i32 [N, 16], at_most.i32 [N, 32], within.i32 with
// within_splits.i64 [N + 1] (radius 0.2 m) and furthest.i32 [4096].
#include <voxshift/engine/session.h>
#include <voxshift/point_voxel/neighbors.h>
#include <voxshift/point_voxel/sampling.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <string_view>

#include "input.h"

namespace voxshift {
namespace {

void write(const std::filesystem::path& path, const Array& array) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(array.memory()), static_cast<std::streamsize>(array.bytes()));
  file.close();
  check<IoError>(file.good(), path.string(), ": cannot be written");
}

void write_network(const std::filesystem::path& out, const Array& scan, const Model& model) {
  const SparseTensor x = bench::voxels_of(scan, model.profile());
  write(out / "coords.i32", x.coords());
  write(out / "features.f32", x.features());
  write(out / "logits.f32", Session(model.network()).forward(x));
}

void write_points(const std::filesystem::path& out, const Array& scan) {
  Array points({scan.dim(0), 3}, DType::kF32);
  for (std::int64_t i = 0; i < scan.dim(0); ++i)
    std::copy_n(scan.data<float>() + 4 * i, 3, points.data<float>() + 3 * i);
  const PointSet set{points, {}};
  write(out / "points.f32", points);
  write(out / "voxel_of_point.i32", voxelize(points).inverse);
  write(out / "nearest.i32", knn_search(set, set, 16).indices);
  write(out / "at_most.i32", hybrid_search(set, set, 0.2f, 32).indices);
  const RaggedNeighbors within = fixed_radius_search(set, set, 0.2f);
  write(out / "within.i32", within.indices);
  write(out / "within_splits.i64", within.row_splits);
  write(out / "furthest.i32", furthest_point_sample(set, 4096));
}

}  // namespace
}  // namespace voxshift

int main(int argc, char** argv) try {
  using namespace voxshift;
  std::filesystem::path out;
  std::vector<char*> others;
  constexpr std::string_view kOut = "--out=";
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kOut))
      out = argv[i] + kOut.size();
    else
      others.push_back(argv[i]);
  }
  check(!out.empty(), "usage: peer_input [SCAN] [--model=FILE] --out=FOLDER");
  const bench::Options options = bench::parse_options(static_cast<int>(others.size()), others.data());
  const Array scan = bench::load_scan(options.scan);
  write_network(out, scan, bench::load_model(options.model));
  write_points(out, scan);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "peer_input: " << error.what() << '\n';
  return 1;
}
