// What the command says about its work: tables, a progress line, the --stats file.
#pragma once

#include <voxshift/tasks/segmenter.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/seconds.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

namespace voxshift {

/// Counts and times of one scan, from file to files.
struct ScanStats {
  std::filesystem::path scan;
  SegmentReport run;
  double read_seconds = 0, compute_seconds = 0, write_seconds = 0;
  Clock::time_point read_start = {}, compute_start = {}, write_start = {};
  std::array<std::int64_t, 256> label_counts{};  ///< by train id
  std::vector<std::filesystem::path> files;      ///< written

  double total_seconds() const { return read_seconds + compute_seconds + write_seconds; }
};

/// A table on standard output, a line per scan: points, voxels, milliseconds per stage, files.
void print_header();
void print_scan(const ScanStats& stats);

/// A line per layer: shape, pairs, MACs, milliseconds, fraction of `peak` multiply-adds per second.
void print_layers(const RunReport& report, double peak);

/// Writes the array of --stats, one object per scan. Throws IoError.
void write_stats(const std::filesystem::path& path, const std::vector<ScanStats>& scans, const Segmenter& segmenter);

/// Writes what the session's last run cost, as one object. Throws IoError.
void write_run_stats(const std::filesystem::path& path, const Session& session);

/// Runs `part`; its errors become IoErrors that begin with the name of the file they are about.
template <class Part>
auto about(const std::filesystem::path& file, Part part) {
  try {
    return part();
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    throw IoError(file.string() + ": " + error.what());
  } catch (const std::bad_alloc&) {
    throw IoError(file.string() + ": not enough memory");
  } catch (const std::exception& error) {  // of OpenCV, of the system
    throw IoError(file.string() + ": " + error.what());
  }
}

/// "voxshift: what" on standard error, as one line whatever names a file put into it.
void print_error(const char* what);

/// "voxshift: warning: what", likewise.
void print_warning(const std::string& what);

/// A line on standard error that says how far the work is; nothing where that is not a terminal.
class Progress {
 public:
  explicit Progress(std::size_t total);  ///< 0: nobody knows
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::size_t done, const std::string& what);
  void clear();

 private:
  std::size_t total_;
  bool on_terminal_, shown_ = false;
};

}  // namespace voxshift
