#include "eval_options.h"

namespace voxshift {
namespace {

void add_eval_of_labels(CLI::App& command, EvalOptions& options) {
  command
      .add_option("--pred", options.predictions,
                  "Folder of predicted .label files, or the root above sequences/08/predictions")
      ->type_name("DIR");
  command.add_option("--gt", options.truth, "Folder of true .label files, or the root above sequences/08/labels")
      ->type_name("DIR");
  command.get_option("--pred")->needs("--gt");
  command.get_option("--gt")->needs("--pred");
  command.add_option("--sequence", options.sequence, "Sequence below such a root")->capture_default_str();
  command
      .add_option("--protocol", options.protocol,
                  "Classes, raw ids and scores: semantickitti (default, official), spvnas, nuscenes or waymo; of "
                  "detections kitti (default) or nuscenes")
      ->type_name("NAME");
  command.add_flag("--confusion", options.confusion, "Print the confusion matrix, too");
  command.add_flag("--json", options.json, "Print one JSON object in place of the tables");
  command.add_option("--picture", options.picture, "Draw the confusion matrix (.png)")->type_name("FILE");
}

}  // namespace

void add_eval(CLI::App& app, EvalOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "eval", "Score predicted labels: mIoU, accuracy, IoU per class, confusion; or detected boxes: average precision");
  add_eval_of_labels(command, options);
  command
      .add_option("--detections", options.detections,
                  "Score boxes: folders of detections and of truth, KITTI's label files (.txt) of the same names")
      ->expected(2)
      ->type_name("PRED TRUTH");
  for (const char* labels : {"--pred", "--sequence", "--confusion", "--picture"})
    command.get_option("--detections")->excludes(labels);
  command
      .add_option("--calib", options.calibration,
                  "KITTI's calibration file of all, or a folder with one per label file; default: a camera in the "
                  "scanner's place")
      ->type_name("PATH");
  command
      .add_option("--scans", options.scans,
                  "Scans of the same names: their points in a box, not its occlusion, say how hard it is")
      ->type_name("DIR");
  command.add_option("--max-distance", options.max_distance, "Metres from the sensor beyond which nothing counts")
      ->check(CLI::PositiveNumber)
      ->type_name("M");
  for (const char* boxes : {"--calib", "--scans", "--max-distance"}) command.get_option(boxes)->needs("--detections");
  command.callback([&options] {
    if (options.predictions.empty() && options.detections.empty())
      throw CLI::RequiredError("--pred and --gt, or --detections,");
  });
}

}  // namespace voxshift
