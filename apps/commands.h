// The subcommands of `voxshift`: what each was asked to do, and the function that does it.
#pragma once

#include <voxshift/models/model.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace voxshift {

struct SegmentOptions {
  std::vector<std::filesystem::path> scans;  ///< files and folders
  std::filesystem::path model;
  std::string device = "cpu";
  int threads = 0;  ///< 0: all processors
  std::filesystem::path out = ".";
  std::vector<std::string> write;  ///< of label, ply, png, scores; empty: label, ply, and png where it can be drawn
  std::filesystem::path stats;     ///< JSON file; empty: none
  int columns = 4;
  std::string preprocess;  ///< profile in place of the model's; empty: the model's
  bool layers = false;
};

struct EvalOptions {
  std::filesystem::path predictions, truth;  ///< folders
  std::string sequence = "08";               ///< where a folder has SemanticKITTI's layout
  std::string protocol = "semantickitti";
  bool confusion = false, json = false;
  std::filesystem::path picture;  ///< PNG file; empty: none
};

struct InfoOptions {
  std::filesystem::path model;
};

struct NewOptions {
  ModelSpec spec;
  std::filesystem::path out;
};

struct SynthOptions {
  std::uint64_t seed = 0;
  int count = 1;
  bool pictures = false;
  std::filesystem::path out;
};

/// Each returns the exit status: 0 done, 1 where some scan failed and was reported. What stops the whole command is
/// thrown.
int segment(const SegmentOptions& options);
int evaluate_labels(const EvalOptions& options);
int info(const InfoOptions& options);
int new_model(const NewOptions& options);
int synth_lidar_scans(const SynthOptions& options);

}  // namespace voxshift
