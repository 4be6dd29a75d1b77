// `voxshift info`, `new` and `synth`.
#include <voxshift/files/atomic_file.h>
#include <voxshift/files/kitti.h>
#include <voxshift/synth/lidar.h>
#include <voxshift/synth/video.h>
#include <voxshift/tasks/calibrate.h>
#include <voxshift/tasks/detection_score.h>
#include <voxshift/tasks/detector.h>
#include <voxshift/tasks/protocol.h>
#include <voxshift/tasks/segmenter.h>

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "checkpoint_info.h"
#include "commands.h"
#include "picture.h"
#include "report.h"
#include "result_files.h"
#include "video_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

void print_parameters(const Model& model) {
  int width = 34;
  for (const auto& [tensor, array] : model.parameters()) width = std::max(width, static_cast<int>(tensor.size()));
  std::printf("%-*s %-15s %-5s %-18s %12s\n", width, "tensor", "op", "dtype", "shape", "parameters");
  for (const Node& node : model.graph().nodes)
    for (const auto& [role, tensor] : node.parameters) {
      const Array& array = model.parameters().at(tensor);
      std::printf("%-*s %-15s %-5s %-18s %12lld\n", width, tensor.c_str(), node.op.c_str(), name(array.dtype()),
                  to_string(array.shape()).c_str(), static_cast<long long>(array.count()));
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

// KITTI's annotators judge by eye; here the points that lie on the object decide.
int occlusion(std::int64_t points) {
  for (const DetectionLevel& level : kDetectionLevels)
    if (points >= level.points) return level.occlusion;
  return kDetectionLevels.back().occlusion + 1;
}

void write_boxes(const fs::path& labels, const fs::path& calib, const std::vector<SynthObject>& objects) {
  const KittiCalibration calibration = KittiCalibration::nominal();
  std::vector<LabelledBox> boxes;
  for (const SynthObject& object : objects) {
    LabelledBox& box = boxes.emplace_back();
    box.type = kitti_type(object.kind);
    box.box = object.box;
    box.occlusion = occlusion(object.points);
  }
  write_kitti_calibration(calib, calibration);
  write_kitti_labels(labels, boxes, calibration);
}

// A video where the name ends in .mkv, else a folder of images.
void write_clip(const fs::path& path, const SynthClip& clip, double frames_per_second) {
  const Extent2d extent{clip.height, clip.width};
  const auto bytes = static_cast<std::size_t>(extent.pixels() * 3);
  const auto frame = [&](std::int64_t number) {
    return std::span(clip.frames).subspan(static_cast<std::size_t>(number) * bytes, bytes);
  };
  if (path.extension() == ".mkv") {
    VideoFile video(path, {extent, frames_per_second});
    for (std::int64_t number = 0; number < clip.count; ++number) video.write(frame(number));
    return video.finish();
  }
  make_folder(path);
  for (std::int64_t number = 0; number < clip.count; ++number) {
    char name[32];
    std::snprintf(name, sizeof(name), "%06lld.png", static_cast<long long>(number));
    write_values(path / name, encode_png(frame(number), extent));
  }
}

// A line per step of the network; MACs are those of a dense frame.
int video_info(const InfoOptions& options, const Model& model, const FrameProfile& frames) {
  std::printf("%s: %s, %.3f M parameters, %zu classes, frames of %lld x %lld (%lld resized), %s\n\n",
              options.model.string().c_str(), model.arch().c_str(), static_cast<double>(model.parameter_count()) / 1e6,
              model.classes().size(), static_cast<long long>(frames.height), static_cast<long long>(frames.width),
              static_cast<long long>(frames.resize),
              model.skip_thresholds() ? "calibrated for --skip auto" : "not calibrated for --skip auto");
  print_parameters(model);
  const FrameNetwork network = about(options.model, [&] { return FrameNetwork(model.network(), frames); });
  std::printf("\n%-28s %-26s %5s %9s %5s %5s %10s %6s\n", "layer", "op", "dtype", "out", "in", "out", "MMAC", "shift");
  for (const FrameLayer& layer : network.layers()) {
    const std::string out = std::to_string(layer.out.height) + "x" + std::to_string(layer.out.width);
    std::printf("%-28s %-26s %5s %9s %5lld %5lld %10.2f %6s\n", layer.name.c_str(), layer.kind.c_str(),
                name(layer.dtype), out.c_str(), static_cast<long long>(layer.in_channels),
                static_cast<long long>(layer.out_channels), static_cast<double>(layer.macs) / 1e6,
                layer.shifted ? "yes" : "");
  }
  std::printf("%-28s %-26s %5s %9s %5s %5s %10.2f\n", "network",
              network.bidirectional() ? "offline shift: whole clips" : "online shift: streams", "", "", "", "",
              static_cast<double>(network.dense_macs()) / 1e6);
  return 0;
}

// A line per layer of a run on a simulated scan.
void print_run(const RunReport& run, const Session& session, std::int64_t points, const char* rows) {
  std::printf("\nOn a synthetic scan of %lld points, %lld %s: %.1f GMAC\n", static_cast<long long>(points),
              static_cast<long long>(run.voxels), rows, static_cast<double>(run.macs) / 1e9);
  print_layers(run, runtime(session.device()).fma_peak(session.device(), session.threads()));
}

}  // namespace

int info(const InfoOptions& options) {
  if (options.profile) {
    const bool is_model = options.model.extension() == ".safetensors";
    const std::optional<Profile> profile =
        is_model ? Model::load(options.model).own_profile() : find_profile(options.model.string());
    check<IoError>(profile.has_value(), options.model.string(), ": is a model without a profile");
    std::printf("%s\n", to_text(*profile).c_str());
    return 0;
  }
  if (is_checkpoint(options.model)) {
    print_checkpoint(options.model);
    return 0;
  }
  const Model model = Model::load(options.model);
  const Profile& profile = model.profile();
  if (profile.frames && model.graph().input().channels == 3) return video_info(options, model, *profile.frames);
  char cells[64];
  if (!model.has_profile()) {
    std::snprintf(cells, sizeof(cells), "the input as it is");
  } else if (profile.blocks) {
    std::snprintf(cells, sizeof(cells), "blocks of %.3g m, %lld points", static_cast<double>(profile.blocks->size),
                  static_cast<long long>(profile.blocks->points));
  } else {
    const auto size = [&](std::size_t axis) { return static_cast<double>(profile.voxelize.voxel_size.each[axis]); };
    if (profile.voxelize.voxel_size.is_cube()) {
      std::snprintf(cells, sizeof(cells), "%.3g m voxels", size(0));
    } else {
      std::snprintf(cells, sizeof(cells), "%.3g x %.3g x %.3g voxels", size(0), size(1), size(2));
    }
  }
  std::printf("%s: %s, %.3f M parameters, %zu classes, preprocessing %s (%s)\n\n", options.model.string().c_str(),
              model.arch().c_str(), static_cast<double>(model.parameter_count()) / 1e6, model.classes().size(),
              profile.name.c_str(), cells);
  print_parameters(model);

  if (model.detection() && profile.cloud) {
    Detector detector = about(options.model, [&] { return Detector(model); });
    detector.session().report_layers(true);
    detector.detect(simulated_points(profile, 1));
    print_run(detector.report(), detector.session(), detector.report().points, "in range");
    return 0;
  }
  const Graph& graph = model.graph();
  if (model.classes().empty() || graph.outputs.size() > 1 || !model.has_profile()) {
    std::printf("\nInputs:");
    for (const GraphInput& input : graph.inputs)
      std::printf(" %s (%s, %lld channels)", input.name.c_str(),
                  input.rows_of.empty() ? name(input.kind) : ("rows of " + input.rows_of).c_str(),
                  static_cast<long long>(input.channels));
    std::printf("\nOutputs:");
    for (const std::string& output : graph.outputs) std::printf(" %s", output.c_str());
    std::printf("\nNo labels: `voxshift run --layers` runs it on arrays, and shows its layers.\n");
    return 0;
  }

  // MACs depend on the scan, so they are counted on one.
  Segmenter segmenter = about(options.model, [&] { return Segmenter(model); });
  segmenter.segment(simulated_points(profile, 1));
  print_run(segmenter.report(), segmenter.session(), segmenter.report().points,
            profile.blocks ? "in blocks" : "voxels");
  return 0;
}

int new_model(const NewOptions& options) {
  ModelSpec spec = options.spec;
  if (spec.classes == 0) spec.classes = class_count(spec.profile);
  spec.bidirectional = options.shift == "offline";
  const Model model = Model::create(spec);
  model.save(options.out);
  std::printf("%s: %s, width %g, %.3f M random parameters, %zu classes\n", options.out.string().c_str(),
              model.arch().c_str(), options.spec.width, static_cast<double>(model.parameter_count()) / 1e6,
              model.classes().size());
  return 0;
}

int synth_lidar_scans(const SynthOptions& options) {
  for (const char* folder : {"velodyne", "labels"}) make_folder(options.out / folder);
  if (options.boxes)
    for (const char* folder : {"label_2", "calib"}) make_folder(options.out / folder);
  if (options.pictures) make_folder(options.out / "pictures");
  Progress progress(static_cast<std::size_t>(options.count));
  for (int i = 0; i < options.count; ++i) {
    char stem[16];
    std::snprintf(stem, sizeof(stem), "%06d", i);
    const auto path = [&](const char* folder, const char* extension) {
      return options.out / folder / (std::string(stem) + extension);
    };
    progress.show(static_cast<std::size_t>(i), stem);
    const SynthScan scan = synth_lidar(options.seed + static_cast<std::uint64_t>(i), {options.vary_sensor});
    write_values(path("velodyne", ".bin"), scan.points);
    write_values(path("labels", ".label"), scan.labels);
    if (options.boxes) write_boxes(path("label_2", ".txt"), path("calib", ".txt"), scan.objects);
    if (options.pictures) {
      const std::vector<std::uint8_t> labels = train_ids(scan.labels, find_protocol("semantickitti").truth);
      write_values(path("pictures", ".png"),
                   draw_picture({{scan.points}, labels, semantic_kitti_classes(), "simulated scan, true labels"}));
    }
    progress.clear();
    std::printf("%s: %zu points\n", path("velodyne", ".bin").string().c_str(), scan.labels.size());
  }
  return 0;
}

int synth_videos(const SynthVideoCommand& options) {
  SynthVideoOptions clip_options;
  clip_options.frames = options.frames;
  clip_options.height = clip_options.width = options.size;
  clip_options.panning_camera = options.camera == "panning";
  clip_options.noise = options.noise;
  const std::vector<std::string>& classes = synth_video_classes();
  if (!options.label.empty())
    clip_options.label = static_cast<int>(std::ranges::find(classes, options.label) - classes.begin());
  make_folder(options.out);
  std::ostringstream labels;
  labels << "file,label,name\n";
  Progress progress(static_cast<std::size_t>(options.count));
  for (int i = 0; i < options.count; ++i) {
    char stem[16];
    std::snprintf(stem, sizeof(stem), "%06d", i);
    const std::string name = std::string(stem) + (options.images ? "" : ".mkv");
    progress.show(static_cast<std::size_t>(i), name);
    const SynthClip clip = synth_video(options.seed + static_cast<std::uint64_t>(i), clip_options);
    write_clip(options.out / name, clip, clip_options.frames_per_second);
    labels << name << ',' << clip.label << ',' << classes[static_cast<std::size_t>(clip.label)] << '\n';
    progress.clear();
    std::printf("%s: %s\n", (options.out / name).string().c_str(),
                classes[static_cast<std::size_t>(clip.label)].c_str());
  }
  write_atomically(options.out / "labels.csv", [&](std::ostream& stream) { stream << labels.str(); });
  return 0;
}

}  // namespace voxshift
