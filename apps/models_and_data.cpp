// `voxshift info`, `new` and `synth`.
#include <voxshift/models/atomic_file.h>
#include <voxshift/models/session.h>
#include <voxshift/synth/lidar.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "commands.h"
#include "report.h"
#include "result_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

void print_parameters(const Model& model) {
  std::printf("%-34s %-15s %-18s %12s\n", "tensor", "op", "shape", "parameters");
  for (const Node& node : model.graph().nodes)
    for (const auto& [role, tensor] : node.parameters) {
      const Array& array = model.parameters().at(tensor);
      std::printf("%-34s %-15s %-18s %12lld\n", tensor.c_str(), name(node.op), to_string(array.shape()).c_str(),
                  static_cast<long long>(array.count()));
    }
}

template <class T>
void write_values(const fs::path& path, const std::vector<T>& values) {
  write_atomically(path, [&](std::ostream& stream) {
    stream.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  });
}

}  // namespace

int info(const InfoOptions& options) {
  const Model model = Model::load(options.model);
  const VoxelizeOptions& voxelize = model.profile().voxelize;
  std::printf("%s: %s, %.3f M parameters, %zu classes, preprocessing %s (%.3g m voxels)\n\n", options.model.c_str(),
              model.arch().c_str(), static_cast<double>(model.parameter_count()) / 1e6, model.classes().size(),
              model.profile().name.c_str(), static_cast<double>(voxelize.voxel_size));
  print_parameters(model);

  // MACs depend on the scan, so they are counted on one.
  const SynthScan scan = synth_lidar(1);
  Session session = about(options.model, [&] { return Session(model); });
  session.segment(Array::from(scan.points, {static_cast<std::int64_t>(scan.labels.size()), 4}));
  const RunReport& run = session.report();
  std::printf("\nOn a synthetic scan of %lld points, %lld voxels: %.1f GMAC\n", static_cast<long long>(run.points),
              static_cast<long long>(run.voxels), static_cast<double>(run.macs) / 1e9);
  print_layers(run, runtime(session.device()).fma_peak(session.device(), session.threads()));
  return 0;
}

int new_model(const NewOptions& options) {
  const Model model = Model::create(options.spec);
  model.save(options.out);
  std::printf("%s: %s, width %g, %.3f M random parameters, %zu classes\n", options.out.c_str(), model.arch().c_str(),
              options.spec.width, static_cast<double>(model.parameter_count()) / 1e6, model.classes().size());
  return 0;
}

int synth_lidar_scans(const SynthOptions& options) {
  make_folder(options.out / "velodyne");
  make_folder(options.out / "labels");
  Progress progress(static_cast<std::size_t>(options.count));
  for (int i = 0; i < options.count; ++i) {
    char stem[16];
    std::snprintf(stem, sizeof(stem), "%06d", i);
    progress.show(static_cast<std::size_t>(i), stem);
    const SynthScan scan = synth_lidar(options.seed + static_cast<std::uint64_t>(i));
    const fs::path bin = options.out / "velodyne" / (std::string(stem) + ".bin");
    write_values(bin, scan.points);
    write_values(options.out / "labels" / (std::string(stem) + ".label"), scan.labels);
    progress.clear();
    std::printf("%s: %zu points\n", bin.c_str(), scan.labels.size());
  }
  return 0;
}

}  // namespace voxshift
