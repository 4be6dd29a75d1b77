// What `voxshift detect` says about its work.
#pragma once

#include <voxshift/tasks/detector.h>
#include <voxshift/tensor/seconds.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace voxshift {

/// Counts and times of one scan, from file to files.
struct DetectStats {
  std::filesystem::path scan;
  DetectReport run;
  double read_seconds = 0, compute_seconds = 0, write_seconds = 0;
  Clock::time_point read_start = {}, compute_start = {}, write_start = {};
  std::vector<std::int64_t> boxes;           ///< by class
  std::vector<std::filesystem::path> files;  ///< written

  double total_seconds() const { return read_seconds + compute_seconds + write_seconds; }
};

/// A table on standard output, a line per scan: points, boxes, milliseconds per stage, files.
void print_detect_header();
void print_detected(const DetectStats& stats);

/// Writes the array of --stats, one object per scan. Throws IoError.
void write_detect_stats(const std::filesystem::path& path, const std::vector<DetectStats>& scans,
                        const Detector& detector);

}  // namespace voxshift
