// The file of `--trace`: what ran when, in Chrome's trace event format, which Perfetto and chrome://tracing open.
#pragma once

#include <voxshift/engine/report.h>
#include <voxshift/tensor/seconds.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace voxshift {

class Session;

/// Rows of the picture: what reads, computes and writes goes on side by side.
enum class TraceRow { kRead = 1, kCompute = 2, kWrite = 3 };

/// When a stage of a scan or a frame began, and how long it took.
struct TraceSpan {
  Clock::time_point start;
  double seconds = 0;
};

/// A step within a stage, by its name.
using TraceParts = std::vector<std::pair<std::string, double>>;

/// What is said of a stage: names and whole numbers.
using TraceArgs = std::vector<std::pair<std::string, std::int64_t>>;

/// Events of one run of the command. Times of the library are durations: parts of a stage, and layers of a network, lie
/// one after the other from its beginning on, and what they leave of it is at its end.
class Trace {
 public:
  /// Nothing is kept or written where the path is empty.
  explicit Trace(std::filesystem::path path, std::string command);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  bool wanted() const { return !path_.empty(); }

  /// Where, and in what numbers, the network runs.
  void about(const std::string& device, const std::string& dtype, int threads);

  void stage(TraceRow row, const std::string& name, const TraceSpan& span, const TraceArgs& args = {});

  /// A stage that computes: its parts, among them "network", which holds the layers of the run.
  void compute(const std::string& name, const TraceSpan& span, const TraceParts& parts, const RunReport& run,
               const TraceArgs& args = {});

  /// Throws IoError where the file cannot be written.
  void write() const;

 private:
  struct Impl;
  std::filesystem::path path_;
  std::unique_ptr<Impl> impl_;
};

/// "device", "dtype" and "threads" of a session.
void trace_session(Trace& trace, const Session& session);

}  // namespace voxshift
