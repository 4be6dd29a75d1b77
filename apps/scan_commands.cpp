#include "scan_commands.h"

#include <algorithm>
#include <string>

namespace voxshift {
namespace {

std::vector<std::string> sensor_names() {
  std::vector<std::string> names;
  for (const Sensor& sensor : known_sensors()) names.push_back(sensor.name);
  return names;
}

/// What is known of the scans' files.
void add_scan_options(CLI::App& command, ScanOptions& options) {
  command
      .add_option(
          "--sensor", options.sensor,
          "What made the scans: kitti, nuscenes, waymo, ouster or livox, for columns, remission, range and height")
      ->type_name("NAME")
      ->check(CLI::IsMember(sensor_names()));
  command
      .add_option("--columns", options.columns,
                  "float32 values per point of a .bin: KITTI 4, nuScenes 5; default what the values show")
      ->check(CLI::Range(3, 64));
  command
      .add_option("--remission-scale", options.remission_scale,
                  "Remission that the files give a perfect reflector: 1, 255, 65535; default what the values show")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--origin", options.origin,
                  "Where the sensor is in the files' coordinates; default 0,0,0, or where the ground shows it")
      ->delimiter(',')
      ->expected(3)
      ->type_name("X,Y,Z");
}

/// What `segment` and `detect` share: `trained` is the default model, `kinds` what can be written.
void add_scan_run(CLI::App& command, ScanRunOptions& options, const std::string& trained, const std::string& writes,
                  const std::vector<std::string>& kinds) {
  command.add_option("scan", options.scans, "Scans (.bin .npy .ply .pcd) and folders of scans")
      ->required()
      ->type_name("SCAN");
  command.add_option("--model", options.model, "Model file (.safetensors); default the trained " + trained)
      ->type_name("FILE");
  add_device(command, options);
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  command.add_option("--out", options.out, "Folder for the results, made where it is missing")->capture_default_str();
  command.add_option("--write", options.write, "What to write: " + writes)
      ->delimiter(',')
      ->check(CLI::IsMember(kinds))
      ->type_name("LIST");
  command.add_option("--stats", options.stats, "Write counts and times of every scan as JSON")->type_name("FILE");
  add_trace(command, options);
  add_scan_options(command, options);
  command.add_flag("--layers", options.layers,
                   "Print shape, pairs, MACs, time and fraction of the f32 peak of every layer");
}

/// "I/N"
void set_shard(SegmentOptions& options, const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto number = [](const std::string& digits) {
    const bool good = !digits.empty() && digits.size() < 8 &&
                      std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    return good ? std::stoi(digits) : 0;
  };
  options.shard = number(text.substr(0, slash));
  options.shards = slash == std::string::npos ? 0 : number(text.substr(slash + 1));
  if (options.shard < 1 || options.shard > options.shards)
    throw CLI::ValidationError("--shard", "expected I/N with I from 1 to N, found " + text);
}

}  // namespace

void add_segment(CLI::App& app, SegmentOptions& options) {
  CLI::App& command = *app.add_subcommand("segment", "Label every point of LiDAR scans");
  add_scan_run(
      command, options, "minkunet-lidar",
      "of each scan label, ply, png, scores; of all html (a page for browsers), rrd (for rerun, by the Python package)",
      {"label", "ply", "png", "scores", "html", "rrd"});
  command
      .add_option("--range", options.range,
                  "Leave out points further along an axis, or outside two corners; default the profile's")
      ->delimiter(',')
      ->expected(1, 6)
      ->type_name("METRES|X,Y,Z,X,Y,Z");
  command
      .add_option("--preprocess", options.preprocess,
                  "Profile in place of the model's: spvnas, pointcept, nuscenes, waymo, kitti-blocks .. or a JSON file")
      ->type_name("PROFILE");
  command
      .add_option_function<std::string>(
          "--shard", [&options](const std::string& text) { set_shard(options, text); },
          "Label part I of N of the scans, I from 1 to N: for N processes or jobs that share a list of scans")
      ->type_name("I/N");
  command.add_flag("--skip-done", options.skip_done,
                   "Leave out scans whose results are there, made by the same model, version and options, and write "
                   "NAME.label.json beside them, which tells so");
}

void add_detect(CLI::App& app, DetectOptions& options) {
  CLI::App& command = *app.add_subcommand("detect", "Find vehicles and people in LiDAR scans, as boxes");
  add_scan_run(command, options, "centerpoint-lidar",
               "of each scan json, kitti (label files, .txt), png (from above), ply (points and boxes); of all html (a "
               "page for browsers), rrd (for rerun, by the Python package)",
               {"json", "kitti", "png", "ply", "html", "rrd"});
  command
      .add_option("--calib", options.calibration,
                  "KITTI's calibration for --write kitti: a file, or the folder of those named as the scans; default a "
                  "camera in the scanner's place")
      ->type_name("PATH");
  command.add_option("--score-threshold", options.score_threshold, "Lowest score of a box; default the model's")
      ->check(CLI::Range(0.0, 0.999999));
}

void add_quantize(CLI::App& app, QuantizeCommand& options) {
  CLI::App& command = *app.add_subcommand(
      "quantize", "Make a model compute in i8 (or store it in f16 or bf16), by the data it will see");
  command.add_option("model", options.model, "Model file in f32 or f16 (.safetensors)")->required()->type_name("MODEL");
  command
      .add_option("--data", options.data,
                  "What to calibrate with: scans (.bin .npy .ply .pcd) or folders of scans; of networks on video clips "
                  "or folders of images")
      ->type_name("PATH");
  command.add_option("--synthetic", options.synthetic, "Also take so many simulated scans or clips")
      ->check(CLI::Range(1, 1000));
  command
      .add_option("--dtype", options.dtype,
                  "i8, f16 or bf16; auto: i8 where that loses at most --max-loss, usually 0.5, and the rest in f16")
      ->capture_default_str()
      ->check(CLI::IsMember({"i8", "f16", "bf16", "auto"}));
  command.add_option("--keep", options.keep, "Layers that stay in f32, as the table names them")->type_name("NAME");
  command
      .add_option(
          "--max-loss", options.max_loss,
          "Keep the layers in f32 that cost most per millisecond they save, until at most so many of 100 labels "
          "(of boxes, of detectors) are others than in f32")
      ->check(CLI::Range(0.0, 100.0));
  command
      .add_option("--report", options.report, "Write the table as JSON, or where the name ends in .png as a picture")
      ->type_name("FILE");
  command.add_option("--picture", options.picture, "Draw the layers' noise against the time they save (.png)")
      ->type_name("FILE");
  command.add_option("--max-frames", options.max_frames, "Take at most the first so many frames of every clip")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  add_scan_options(command, options);
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  command.add_option("-o,--out", options.out, "Model file to write (.safetensors)")->required()->type_name("FILE");
  command.callback([&options] {
    if (options.data.empty() && options.synthetic == 0 && options.dtype != "f16" && options.dtype != "bf16")
      throw CLI::RequiredError("--data or --synthetic");
  });
}

void add_view(CLI::App& app, ViewOptions& options) {
  CLI::App& command = *app.add_subcommand("view", "Look at scans in a window: one, or a folder as a film");
  command.footer(
      "Keys: space plays and pauses, right or n and left or b step, Home and End, + and - change the points' size, "
      "R looks from behind again, q or Esc closes. The mouse turns, with Ctrl it moves, the wheel zooms.");
  command.add_option("scan", options.scans, "Scans (.bin .npy .ply .pcd) and folders of scans")
      ->required()
      ->type_name("SCAN");
  CLI::Option* const labels =
      command
          .add_option("--labels", options.labels,
                      "Colour by these labels: a file, or the folder of those named as the scans")
          ->type_name("PATH");
  command.add_option("--protocol", options.protocol, "Classes and raw ids of the labels, as of `eval`")
      ->capture_default_str()
      ->needs(labels)
      ->type_name("NAME");
  command
      .add_option("--model", options.model,
                  "Colour by the labels of this model (.safetensors), or of minkunet-lidar, the trained one")
      ->excludes(labels)
      ->type_name("MODEL");
  add_device(command, options);
  command.add_option("--threads", options.threads, "Threads; default all processors")->check(CLI::Range(1, 1024));
  add_scan_options(command, options);
  command.add_option("--fps", options.fps, "Scans per second of a film")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1000.0));
  command
      .add_option("--save", options.save,
                  "Draw into this file (.png), or a folder with one per scan, in place of a window")
      ->type_name("PATH");
}

}  // namespace voxshift
