// `voxshift info`, `new` and `synth`.
#include <voxshift/models/atomic_file.h>
#include <voxshift/models/calibrate.h>
#include <voxshift/models/protocol.h>
#include <voxshift/models/session.h>
#include <voxshift/synth/lidar.h>

#include <cstdio>

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

// Classes of the data set that a profile is named after, else 0.
int class_count(const std::string& profile) {
  for (const Protocol& protocol : known_protocols())
    if (protocol.name == profile) return static_cast<int>(protocol.classes.size());
  return 0;
}

}  // namespace

int info(const InfoOptions& options) {
  const Model model = Model::load(options.model);
  const Profile& profile = model.profile();
  char cells[64];
  if (profile.blocks) {
    std::snprintf(cells, sizeof(cells), "blocks of %.3g m, %lld points", static_cast<double>(profile.blocks->size),
                  static_cast<long long>(profile.blocks->points));
  } else {
    std::snprintf(cells, sizeof(cells), "%.3g m voxels", static_cast<double>(profile.voxelize.voxel_size));
  }
  std::printf("%s: %s, %.3f M parameters, %zu classes, preprocessing %s (%s)\n\n", options.model.c_str(),
              model.arch().c_str(), static_cast<double>(model.parameter_count()) / 1e6, model.classes().size(),
              profile.name.c_str(), cells);
  print_parameters(model);

  // MACs depend on the scan, so they are counted on one.
  Session session = about(options.model, [&] { return Session(model); });
  session.segment(simulated_points(profile, 1));
  const RunReport& run = session.report();
  std::printf("\nOn a synthetic scan of %lld points, %lld %s: %.1f GMAC\n", static_cast<long long>(run.points),
              static_cast<long long>(run.voxels), profile.blocks ? "in blocks" : "voxels",
              static_cast<double>(run.macs) / 1e9);
  print_layers(run, runtime(session.device()).fma_peak(session.device(), session.threads()));
  return 0;
}

int new_model(const NewOptions& options) {
  ModelSpec spec = options.spec;
  if (spec.classes == 0) spec.classes = class_count(spec.profile);
  const Model model = Model::create(spec);
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
      const std::vector<std::uint8_t> labels = train_ids(scan.labels, find_protocol("semantickitti").truth);
      write_values(path("pictures", ".png"),
                   draw_picture({{scan.points}, labels, semantic_kitti_classes(), "simulated scan, true labels"}));
    }
    progress.clear();
    std::printf("%s: %zu points\n", path("velodyne", ".bin").c_str(), scan.labels.size());
  }
  return 0;
}

}  // namespace voxshift
