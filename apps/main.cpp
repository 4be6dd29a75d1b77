// The command `voxshift`: options, help and exit status (0 done, 1 bad input or model, 2 usage).
#include <voxshift/synth/video.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/runtime.h>
#include <voxshift/tensor/version.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "commands.h"
#include "eval_options.h"
#include "modules.h"
#include "report.h"
#include "run_command.h"
#include "scan_commands.h"
#include "signals.h"
#include "system.h"

namespace {

using namespace voxshift;

constexpr int kBadInput = 1, kUsage = 2;

std::string version_line() {
  const auto on_off = [](bool on) { return on ? "on" : "off"; };
  const Device cuda = Device::cuda();
  std::string products;
  for (const DType dtype : {DType::kI8, DType::kBF16, DType::kF16})
    products += std::string(", ") + name(dtype) + " by " + cpu::product_instructions(dtype);
  return std::string("voxshift ") + version() + " (" + runtime(Device::cpu()).target(Device::cpu()) + products +
         ", CUDA " + on_off(runtime(cuda).available(cuda)) + ", OpenCV " + on_off(has_opencv()) + ", Open3D " +
         on_off(has_open3d()) + ")";
}

/// As a check of CLI11: what is wrong, or nothing.
std::string valid_skip(const std::string& skip) {
  try {
    parse_skip(skip);
    return "";
  } catch (const InvalidArgument& error) {
    return error.what();
  }
}

void add_info(CLI::App& app, InfoOptions& options) {
  CLI::App& command =
      *app.add_subcommand("info", "Layers, shapes, parameters and MACs of a model, or what a checkpoint holds");
  command
      .add_option("model", options.model,
                  "Model file or checkpoint (.pth, ..); with --profile also a known profile or its JSON file")
      ->required()
      ->type_name("MODEL");
  command.add_flag("--profile", options.profile,
                   "Print the preprocessing as the JSON that --preprocess takes, and nothing else");
}

void add_new(CLI::App& app, NewOptions& options) {
  CLI::App& command = *app.add_subcommand("new", "Make a model with random weights");
  command.add_option("arch", options.spec.arch, "Architecture; those on video begin with tsm")
      ->required()
      ->type_name("ARCH")
      ->check(CLI::IsMember(architecture_names()));
  command.add_option("--width", options.spec.width, "Factor of all channel counts")->capture_default_str();
  command
      .add_option("--classes", options.spec.classes,
                  "Number of classes; default those of the profile's data set: 19, nuscenes 16, waymo 22, s3dis 13, "
                  "shapenet 50, tsm-mobilenetv2 27, tsm-resnet50 400, kitti 3, of centerpoint nuscenes' 10")
      ->check(CLI::PositiveNumber);
  command.add_option("--seed", options.spec.seed, "Seed of the weights")->capture_default_str();
  command
      .add_option("--shift", options.shift,
                  "Of networks on video: online, frame by frame, or offline, which looks at the next frame, too")
      ->capture_default_str()
      ->check(CLI::IsMember({"online", "offline"}));
  command.add_option("--style", options.spec.style, "Of detectors: whose layers and names; default mmdet3d")
      ->check(CLI::IsMember({"mmdet3d", "openpcdet"}));
  command.add_option("--config", options.spec.config, "net.config of an SPVNAS network")->type_name("FILE");
  command
      .add_option(
          "--preprocess", options.spec.profile,
          "Profile; default spvnas, or s3dis, shapenet for pvcnn: pointcept, nuscenes, waymo, s3dis-8192, "
          "kitti-blocks, of detectors kitti-voxels, kitti-pillars, nuscenes-voxels, nuscenes-pillars, lidar; or a JSON "
          "file")
      ->type_name("PROFILE");
  command.add_option("-o,--out", options.out, "Model file to write (.safetensors)")->required()->type_name("FILE");
}

void add_convert(CLI::App& app, ConvertCommand& options) {
  CLI::App& command = *app.add_subcommand("convert", "Make a model of a trained network's checkpoint");
  command
      .add_option("checkpoint", options.checkpoint,
                  "Checkpoint or ONNX network (.pth, .pt, .ckpt, .onnx .. by content, .safetensors)")
      ->required()
      ->type_name("CHECKPOINT");
  std::vector<std::string> sources = convertible_sources();
  sources.insert(sources.begin(), "auto");
  command.add_option("--from", options.from, "Whose network it is; default what names and shapes of its tensors tell")
      ->check(CLI::IsMember(sources));
  command
      .add_option("--arch", options.arch,
                  "Of several networks with the same tensors: minkunet or spvcnn; of TSM tsm-resnet50-online ..")
      ->type_name("NAME");
  command
      .add_option("--layout", options.layout,
                  "Of the kernels, where their shapes leave it open: spconv1, spconv2.0, spconv2.2")
      ->type_name("NAME");
  command
      .add_option("--classes", options.classes,
                  "Names of the classes, a line each; default those of the data set with so many")
      ->type_name("FILE");
  command.add_option("--preprocess", options.preprocess, "Profile, as `new` takes it; default the source's own")
      ->type_name("PROFILE");
  command.add_option("--outputs", options.outputs, "Of ONNX: values to give in place of the file's outputs")
      ->type_name("NAME");
  CLI::Option* to =
      command
          .add_option(
              "--to", options.to,
              "The other way: write the tensors of a model as this library has them, a .safetensors by that suffix of "
              "--out, else for torch.load")
          ->check(CLI::IsMember({"spvnas", "torchsparse", "spconv2", "minkowski"}));
  for (const char* other : {"--from", "--arch", "--layout", "--classes", "--preprocess", "--outputs"})
    to->excludes(command.get_option(other));  // they say how a checkpoint is read
  command
      .add_option("-o,--out", options.out,
                  "Model file to write (.safetensors); with --to a checkpoint, of a model on frames also an ONNX file "
                  "(.onnx)")
      ->required()
      ->type_name("FILE");
}

void add_recognize(CLI::App& app, RecognizeOptions& options) {
  CLI::App& command = *app.add_subcommand("recognize", "Say what happens in a video, frame by frame");
  command
      .add_option("source", options.source,
                  "Video, folder of images, or camera: its number, /dev/video0 or an address with ://")
      ->required()
      ->type_name("SOURCE");
  command
      .add_option("--model", options.model, "Model file (.safetensors); default the trained tsm-mobilenetv2-motions")
      ->type_name("FILE");
  command
      .add_option("--skip", options.skip,
                  "What is not computed anew: off: nothing; exact: what did not change at all; auto: by the model's "
                  "calibrated thresholds, and whole frames; or a threshold for all layers")
      ->capture_default_str()
      ->check(CLI::Validator(valid_skip, ""))
      ->type_name("off|exact|auto|THRESHOLD");
  command.add_option("--smooth", options.smooth, "Take the label of the summed logits of so many frames")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  command
      .add_option("--key-frames", options.key_frames, "Compute every so many processed frames whole; 0: where needed")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000000000));
  command.add_option("--every", options.every, "Take every so many frames of a file")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  command.add_option("--max-frames", options.max_frames, "Stop after so many frames; 0: at the end")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  add_device(command, options);
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  command.add_option("--json", options.json, "Write one JSON object per frame, a line each; -: to standard output")
      ->type_name("FILE");
  command.add_option("--stats", options.stats, "Write counts and times as JSON")->type_name("FILE");
  add_trace(command, options);
  command
      .add_option("--annotate", options.annotate,
                  "Write a video (.mp4) with label and score, grey where nothing was computed anew; or a recording for "
                  "rerun (.rrd), "
                  "with the Python package")
      ->type_name("FILE");
}

void add_calibrate(CLI::App& app, CalibrateOptions& options) {
  CLI::App& command = *app.add_subcommand("calibrate", "Find the thresholds of `recognize --skip auto`");
  command.add_option("model", options.model, "Model file")->required()->type_name("MODEL");
  CLI::App& clips = *command.add_option_group("clips");
  clips.add_option("clip", options.clips, "Videos and folders of images")->type_name("CLIP");
  clips.add_option("--synthetic", options.synthetic, "Also take so many synthetic clips")->check(CLI::Range(1, 1000));
  clips.require_option(1, 2);
  command
      .add_option("--budget", options.budget,
                  "How far the logits may move: relative L2 change over all frames of all clips")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--max-frames", options.max_frames, "Take at most the first so many frames of every clip")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  command.add_option("-o,--out", options.out, "Model file to write; default MODEL itself")->type_name("FILE");
}

void add_synth_video(CLI::App& synth, SynthVideoCommand& options) {
  CLI::App& video = *synth.add_subcommand("video", "Clips of a shape that moves, turns, grows or shrinks");
  video.add_option("--seed", options.seed, "Seed of the first clip; the next ones follow")->capture_default_str();
  video.add_option("--count", options.count, "Number of clips")->capture_default_str()->check(CLI::Range(1, 1000000));
  video.add_option("--label", options.label, "One motion for all clips; default one after the other")
      ->type_name("NAME")
      ->check(CLI::IsMember(synth_video_classes()));
  video.add_option("--camera", options.camera, "static or panning")
      ->capture_default_str()
      ->check(CLI::IsMember({"static", "panning"}));
  video.add_option("--noise", options.noise, "Standard deviation of the sensor's noise, in grey levels")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 255.0));
  video.add_option("--frames", options.frames, "Frames of each clip")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  video.add_option("--size", options.size, "Height and width")->capture_default_str()->check(CLI::Range(16, 4096));
  video.add_flag("--images", options.images, "Write NNNNNN/NNNNNN.png in place of NNNNNN.mkv");
  video.add_option("-o,--out", options.out, "Folder; gets NNNNNN.mkv (FFV1, every bit kept) and labels.csv")
      ->required()
      ->type_name("PATH");
}

void add_synth(CLI::App& app, SynthOptions& options, SynthVideoCommand& video_options) {
  CLI::App& command = *app.add_subcommand("synth", "Make labelled synthetic data");
  command.require_subcommand(1);
  CLI::App& lidar = *command.add_subcommand("lidar", "Scans of a simulated LiDAR in a street");
  lidar.add_option("--seed", options.seed, "Seed of the first scan; the next ones follow")->capture_default_str();
  lidar.add_option("--count", options.count, "Number of scans")->capture_default_str()->check(CLI::Range(1, 1000000));
  lidar.add_flag("--vary-sensor", options.vary_sensor,
                 "Another height, tilt, beam table and noise for each scan; else a 64-beam sensor as KITTI's");
  lidar.add_flag("--boxes", options.boxes,
                 "Also write label_2/NNNNNN.txt and calib/NNNNNN.txt as KITTI's: boxes of the cars, vans, trucks, "
                 "pedestrians and cyclists that have a point, all around the sensor");
  lidar.add_flag("--pictures", options.pictures, "Also draw pictures/NNNNNN.png: the scan with its true labels");
  lidar.add_option("-o,--out", options.out, "Folder; gets velodyne/NNNNNN.bin and labels/NNNNNN.label")
      ->required()
      ->type_name("PATH");
  add_synth_video(command, video_options);
}

void add_run(CLI::App& app, RunOptions& options) {
  CLI::App& command = *app.add_subcommand("run", "Run any network: arrays in, arrays out");
  command.add_option("model", options.model, "Model file")->required()->type_name("MODEL");
  command
      .add_option("--input", options.inputs,
                  "By the input's name, \"input\" unless the network calls it otherwise (`voxshift info`). Voxels: "
                  "input=FEATURES.npy and input.coords=COORDS.npy (int32 [N, 1 + dims], batch first), for "
                  "bounded convolutions also input.shape=SHAPE.npy (int32 [dims]); points: "
                  "input=POINTS.npy, of several clouds also input.row_splits=SPLITS.npy (int64); frames of a clip: "
                  "input=FRAMES.npy (float32 [T, H, W, C], normalised)")
      ->required()
      ->type_name("NAME=FILE.npy");
  add_device(command, options);
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  command.add_option("--out", options.out, "Folder; gets NAME.npy and, where it has any, NAME.coords.npy per output")
      ->capture_default_str();
  command.add_option("--stats", options.stats, "Write rows, MACs and times of every layer as JSON")->type_name("FILE");
  add_trace(command, options);
  command.add_flag("--layers", options.layers,
                   "Print shape, pairs, MACs, time and fraction of the f32 peak of every layer");
}

int run(int argc, char** argv) {
  CLI::App app("Sparse 3-D networks on point clouds and temporal networks on video, on the device", "voxshift");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_line);
  SegmentOptions segment_options;
  DetectOptions detect_options;
  RunOptions run_options;
  ViewOptions view_options;
  EvalOptions eval_options;
  InfoOptions info_options;
  NewOptions new_options;
  SynthOptions synth_options;
  SynthVideoCommand synth_video_options;
  RecognizeOptions recognize_options;
  ConvertCommand convert_options;
  CalibrateOptions calibrate_options;
  QuantizeCommand quantize_options;
  add_segment(app, segment_options);
  add_detect(app, detect_options);
  add_run(app, run_options);
  add_recognize(app, recognize_options);
  add_view(app, view_options);
  add_eval(app, eval_options);
  add_info(app, info_options);
  add_new(app, new_options);
  add_convert(app, convert_options);
  add_calibrate(app, calibrate_options);
  add_quantize(app, quantize_options);
  add_synth(app, synth_options, synth_video_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (app.got_subcommand("segment")) return segment(segment_options);
  if (app.got_subcommand("detect")) return detect(detect_options);
  if (app.got_subcommand("run")) return run_network(run_options);
  if (app.got_subcommand("view")) return view(view_options);
  if (app.got_subcommand("eval"))
    return eval_options.detections.empty() ? evaluate_labels(eval_options) : evaluate_detections(eval_options);
  if (app.got_subcommand("info")) return info(info_options);
  if (app.got_subcommand("new")) return new_model(new_options);
  if (app.got_subcommand("convert")) return convert_checkpoint(convert_options);
  if (app.got_subcommand("recognize")) return recognize(recognize_options);
  if (app.got_subcommand("calibrate")) return calibrate_thresholds(calibrate_options);
  if (app.got_subcommand("quantize")) return quantize_model(quantize_options);
  if (app.get_subcommand("synth")->got_subcommand("video")) return synth_videos(synth_video_options);
  return synth_lidar_scans(synth_options);
}

/// Whether all that was printed has reached its place; a full disk may show no earlier.
bool output_is_written() {
  if (std::ferror(stdout) != 0 || std::fflush(stdout) != 0) return false;
  return std::fclose(stdout) == 0;
}

}  // namespace

int voxshift::run_command(int argc, char** argv) {
  hold_closed_streams();
  remove_unfinished_at_signals();
  try {
    const int status = run(argc, argv);
    check<IoError>(status != 0 || output_is_written(), "standard output: cannot be written");
    return status;
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return kBadInput;
}
