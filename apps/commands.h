// The subcommands of `voxshift`: what each was asked to do, and the function that does it.
#pragma once

#include <voxshift/tasks/detection_score.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/recognizer.h>
#include <voxshift/video/frame_source.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "label_scan.h"

namespace voxshift {

/// Of the commands that run a model on many scans and write files.
struct ScanRunOptions : ScanOptions {
  std::vector<std::filesystem::path> scans;  ///< files and folders
  std::filesystem::path model;               ///< empty: the trained one
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;  ///< 0: all processors
  std::filesystem::path out = ".";
  std::vector<std::string> write;  ///< kinds of files; empty: the usual ones
  std::filesystem::path stats;     ///< JSON file; empty: none
  std::filesystem::path trace;     ///< JSON file; empty: none
  bool layers = false;
};

/// write: of label, ply, png, scores, html, rrd; usual: label, ply, png.
struct SegmentOptions : ScanRunOptions {
  std::vector<float> range;   ///< metres, or two corners; empty: the profile's
  std::string preprocess;     ///< profile in place of the model's; empty: the model's
  int shard = 1, shards = 1;  ///< which part of the scans
  bool skip_done = false;     ///< what is labelled already, by the records beside the labels
};

/// write: of json, kitti, png, ply, html, rrd; usual: json, png.
struct DetectOptions : ScanRunOptions {
  std::filesystem::path calibration;     ///< file or folder; empty: a camera in the scanner's place
  std::optional<float> score_threshold;  ///< none: the model's
};

struct RunOptions {
  std::filesystem::path model;
  std::vector<std::string> inputs;  ///< "NAME=FILE.npy"
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;  ///< 0: all processors
  std::filesystem::path out = ".";
  std::filesystem::path stats;  ///< JSON file; empty: none
  std::filesystem::path trace;  ///< JSON file; empty: none
  bool layers = false;
};

struct ViewOptions : ScanOptions {
  std::vector<std::filesystem::path> scans;  ///< files and folders
  std::filesystem::path labels;              ///< file or folder; empty: none
  std::string protocol = "semantickitti";    ///< of the labels
  std::filesystem::path model;               ///< that labels the scans; empty: none
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;  ///< 0: all processors
  double fps = 10;
  std::filesystem::path save;  ///< PNG file or folder, in place of a window; empty: a window
};

struct EvalOptions {
  std::filesystem::path predictions, truth;  ///< folders
  std::string sequence = "08";               ///< where a folder has SemanticKITTI's layout
  std::string protocol;                      ///< empty: semantickitti, of detections kitti
  bool confusion = false, json = false;
  std::filesystem::path picture;  ///< PNG file; empty: none

  std::vector<std::filesystem::path> detections;  ///< folders of predictions and truth, in place of labels
  std::filesystem::path calibration;              ///< file or folder; empty: the nominal one
  std::filesystem::path scans;                    ///< whose points in each box count; empty: not known
  double max_distance = kAnyDistance;             ///< metres
};

struct InfoOptions {
  std::filesystem::path model;
  bool profile = false;  ///< print its preprocessing as JSON and nothing else
};

struct NewOptions {
  ModelSpec spec;
  std::string shift = "online";  ///< online or offline; of networks on video
  std::filesystem::path out;
};

struct ConvertCommand {
  std::filesystem::path checkpoint, out;
  std::string from = "auto";
  std::string arch, layout, preprocess;  ///< empty: what the checkpoint tells
  std::filesystem::path classes;         ///< a name a line; empty: of the data set with so many classes
  std::vector<std::string> outputs;      ///< of ONNX: in place of the file's
  std::string to;                        ///< a library: `checkpoint` is a model, `out` a checkpoint; empty: none
};

struct SynthOptions {
  std::uint64_t seed = 0;
  int count = 1;
  bool vary_sensor = false, boxes = false, pictures = false;
  std::filesystem::path out;
};

struct SynthVideoCommand {
  std::uint64_t seed = 0;
  int count = 1;
  std::string label;  ///< of synth_video_classes(); empty: one after the other
  std::string camera = "static";
  double noise = 2;
  int frames = 32;
  int size = 256;       ///< height and width
  bool images = false;  ///< folders of PNG in place of videos
  std::filesystem::path out;
};

struct RecognizeOptions {
  std::string source;
  std::filesystem::path model;
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;                 ///< 0: all processors
  std::string skip = "off";        ///< off, exact, auto or a threshold
  int smooth = 1;                  ///< frames that vote for a label
  int key_frames = 0;              ///< interval; 0: only where needed
  int every = 1;                   ///< take every so many frames
  std::int64_t max_frames = 0;     ///< 0: all
  std::string json;                ///< file of one object a line, "-" for standard output; empty: none
  std::filesystem::path stats;     ///< JSON file; empty: none
  std::filesystem::path trace;     ///< JSON file; empty: none
  std::filesystem::path annotate;  ///< video, or a recording (.rrd); empty: none
};

struct CalibrateOptions {
  std::filesystem::path model, out;  ///< no out: in place
  std::vector<std::string> clips;
  int synthetic = 0;  ///< number of synthetic clips
  double budget = 0.01;
  std::int64_t max_frames = 300;  ///< of each clip
  int threads = 0;
};

struct QuantizeCommand : ScanOptions {
  std::filesystem::path model, out;
  std::vector<std::string> data;  ///< scans, clips or folders, as the model takes them
  int synthetic = 0;              ///< number of synthetic scans or clips
  std::string dtype = "i8";       ///< i8, f16, bf16 or auto
  std::vector<std::string> keep;
  std::optional<double> max_loss;  ///< points
  std::filesystem::path report;    ///< JSON file; empty: none
  std::filesystem::path picture;   ///< PNG file; empty: none
  std::int64_t max_frames = 32;    ///< of each clip
  int threads = 0;                 ///< 0: all processors
};

/// Each returns the exit status: 0 done, 1 where some scan or frame failed and was reported. What stops the whole
/// command is thrown.
int segment(const SegmentOptions& options);
int detect(const DetectOptions& options);
int run_network(const RunOptions& options);
int view(const ViewOptions& options);
int evaluate_labels(const EvalOptions& options);
int evaluate_detections(const EvalOptions& options);
int info(const InfoOptions& options);
int new_model(const NewOptions& options);
int convert_checkpoint(const ConvertCommand& options);
int synth_lidar_scans(const SynthOptions& options);
int synth_videos(const SynthVideoCommand& options);
int recognize(const RecognizeOptions& options);
int calibrate_thresholds(const CalibrateOptions& options);
int quantize_model(const QuantizeCommand& options);

/// What `convert --from` names beside auto; none in a build without the converter.
std::vector<std::string> convertible_sources();

/// What `--skip` names. Throws InvalidArgument for a word that is none and for a number that is negative, infinite or
/// not a number.
StreamOptions parse_skip(const std::string& skip);

/// The network of a model file, in the numbers that `--dtype` names. Throws IoError "FILE: .." for a model that does
/// not take frames.
VideoNetwork load_video_network(const std::filesystem::path& model, const std::string& device,
                                const std::string& dtype);

/// At most so many frames of a video or a folder of images, u8 [T, height, width, 3]. Throws IoError, also for a
/// camera.
Array read_clip(const std::string& source, const FrameSourceOptions& options, std::int64_t max_frames);

/// How the frames of a source become the model's input.
FrameSourceOptions source_options(const VideoNetwork& network);

}  // namespace voxshift
