// What `voxshift recognize` says of every frame and of all of them.
#pragma once

#include <voxshift/tasks/recognizer.h>
#include <voxshift/video/frame_source.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace voxshift {

/// One recognised frame.
struct FrameRecord {
  std::int64_t frame = 0;
  double time = 0;  ///< seconds
  std::string label;
  double score = 0;
  FrameCost cost;

  double milliseconds() const { return cost.seconds * 1e3; }
};

/// The file of --json: one object a line, each written through at once, so that nothing is lost when the work ends.
class JsonLines {
 public:
  /// Writes nothing for an empty path, to standard output for "-". Throws IoError.
  explicit JsonLines(const std::string& path);

  void write(const FrameRecord& record);

  /// Throws IoError where not all is written.
  void close();

  /// Of a clip that was recognised as a whole.
  void write_clip(const std::vector<std::int64_t>& frames, const std::string& label, double score, double seconds);

 private:
  void write_line(const std::string& line);

  std::string path_;
  std::ofstream file_;
};

/// A line on standard error where the source lacks frames.
void warn_of_missing(const std::string& source, const MissingFrames& missing);

/// Sums over the frames of a run.
class RecognizeStats {
 public:
  void add(const FrameRecord& record);
  void add_dropped(std::int64_t frames) { dropped_ += frames; }

  /// "120 frames, ..", one line.
  std::string summary() const;

  /// Writes the document of --stats. `error` is what ended the work early, else empty. Throws IoError.
  void write(const std::filesystem::path& path, const std::string& source, const Recognizer& stream,
             const std::string& skip, const std::string& error) const;

  void set_missing(std::int64_t frames) { missing_ = frames; }

  std::int64_t frames() const { return static_cast<std::int64_t>(milliseconds_.size()); }

 private:
  double mean_milliseconds() const;
  double percentile(double share) const;  ///< nearest rank
  double mean_mac_fraction() const { return frames() > 0 ? mac_fractions_ / static_cast<double>(frames()) : 0; }

  std::vector<double> milliseconds_;
  double mac_fractions_ = 0;
  std::int64_t skipped_ = 0, key_frames_ = 0, dropped_ = 0, missing_ = 0;
  std::map<std::string, std::int64_t> labels_;
};

}  // namespace voxshift
