// `voxshift info`, `new` and `synth`.
#include <voxshift/models/atomic_file.h>
#include <voxshift/models/session.h>
#include <voxshift/synth/lidar.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "commands.h"
#include "picture.h"
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

// Train ids of SemanticKITTI's raw ids.
std::vector<std::uint8_t> train_ids(const std::vector<std::uint32_t>& raw_ids) {
  std::map<std::uint32_t, std::uint8_t> table;
  for (const ClassInfo& info : semantic_kitti_classes()) table[info.raw_id] = static_cast<std::uint8_t>(table.size());
  std::vector<std::uint8_t> ids;
  for (const std::uint32_t raw : raw_ids) ids.push_back(table.contains(raw) ? table.at(raw) : kUnlabelled);
  return ids;
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
  for (const char* folder : {"velodyne", "labels"}) make_folder(options.out / folder);
  if (options.pictures) make_folder(options.out / "pictures");
  Progress progress(static_cast<std::size_t>(options.count));
  for (int i = 0; i < options.count; ++i) {
    char stem[16];
    std::snprintf(stem, sizeof(stem), "%06d", i);
    const auto path = [&](const char* folder, const char* extension) {
      return options.out / folder / (std::string(stem) + extension);
    };
    progress.show(static_cast<std::size_t>(i), stem);
    const SynthScan scan = synth_lidar(options.seed + static_cast<std::uint64_t>(i));
    write_values(path("velodyne", ".bin"), scan.points);
    write_values(path("labels", ".label"), scan.labels);
    if (options.pictures) {
      const std::vector<std::uint8_t> labels = train_ids(scan.labels);
      write_values(path("pictures", ".png"),
                   draw_picture({{scan.points}, labels, semantic_kitti_classes(), "simulated scan, true labels"}));
    }
    progress.clear();
    std::printf("%s: %zu points\n", path("velodyne", ".bin").c_str(), scan.labels.size());
  }
  return 0;
}

}  // namespace voxshift
