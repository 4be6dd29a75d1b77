#include "recognize_report.h"

#include <voxshift/files/atomic_file.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "report.h"
#include "system.h"

namespace voxshift {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n'; }

}  // namespace

JsonLines::JsonLines(const std::string& path) : path_(path) {
  if (path.empty() || path == "-") return;
  file_.open(path, std::ios::binary | std::ios::trunc);
  check<IoError>(file_.good(), path, ": cannot be written");
}

void JsonLines::write(const FrameRecord& record) {
  if (path_.empty()) return;
  write_line(line_of({{"frame", record.frame},
                      {"time", record.time},
                      {"label", record.label},
                      {"score", record.score},
                      {"skipped", record.cost.skipped},
                      {"mac_fraction", record.cost.mac_fraction()},
                      {"ms", record.milliseconds()}}));
}

void JsonLines::write_clip(const std::vector<std::int64_t>& frames, const std::string& label, double score,
                           double seconds) {
  if (path_.empty()) return;
  write_line(line_of({{"frames", frames}, {"label", label}, {"score", score}, {"ms", seconds * 1e3}}));
}

void JsonLines::write_line(const std::string& line) {
  if (path_ == "-") {
    const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fflush(stdout) == 0;
    check<IoError>(written, "standard output: cannot be written");
  } else {
    file_ << line << std::flush;
    check<IoError>(file_.good(), path_, ": cannot be written");
  }
}

void JsonLines::close() {
  if (!file_.is_open()) return;
  file_.close();
  check<IoError>(file_.good(), path_, ": cannot be written");
}

void warn_of_missing(const std::string& source, const MissingFrames& missing) {
  char what[160];
  if (missing.count > 0) {
    std::snprintf(what, sizeof(what),
                  "frames that are missing by the times of the others: %lld, the longest gap after frame %lld (%.2f s)",
                  static_cast<long long>(missing.count), static_cast<long long>(missing.after), missing.after_seconds);
    print_warning(source + ": " + what);
  }
  if (missing.promised_seconds > 0) {
    std::snprintf(what, sizeof(what),
                  "the frames end before the %.2f s of the header: sound goes on, or the rest does not decode",
                  missing.promised_seconds);
    print_warning(source + ": " + what);
  }
}

void RecognizeStats::add(const FrameRecord& record) {
  milliseconds_.push_back(record.milliseconds());
  mac_fractions_ += record.cost.mac_fraction();
  skipped_ += record.cost.skipped ? 1 : 0;
  key_frames_ += record.cost.key_frame ? 1 : 0;
  ++labels_[record.label];
}

double RecognizeStats::mean_milliseconds() const {
  if (milliseconds_.empty()) return 0;
  return std::accumulate(milliseconds_.begin(), milliseconds_.end(), 0.0) / static_cast<double>(frames());
}

double RecognizeStats::percentile(double share) const {
  if (milliseconds_.empty()) return 0;
  std::vector<double> sorted = milliseconds_;
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(std::max(rank - 1, 0.0));
  std::nth_element(sorted.begin(), at, sorted.end());
  return *at;
}

std::string RecognizeStats::summary() const {
  char line[256];
  std::snprintf(
      line, sizeof(line),
      "%lld frames, %lld processed, %lld skipped whole; %.2f ms mean, %.2f p50, %.2f p99; %.1f %% of the MACs",
      static_cast<long long>(frames()), static_cast<long long>(frames() - skipped_), static_cast<long long>(skipped_),
      mean_milliseconds(), percentile(0.5), percentile(0.99), 100 * mean_mac_fraction());
  return line;
}

void RecognizeStats::write(const std::filesystem::path& path, const std::string& source, const Recognizer& stream,
                           const std::string& skip, const std::string& error) const {
  const Model& model = stream.network().model();
  const Json stats{
      {"source", source},
      {"model",
       {{"arch", model.arch()}, {"parameters", model.parameter_count()}, {"macs", stream.network().dense_macs()}}},
      {"device", name(stream.network().device())},
      {"threads", stream.threads()},
      {"dtype", name(stream.network().dtype())},
      {"skip", skip},
      {"frames", frames()},
      {"processed", frames() - skipped_},
      {"key_frames", key_frames_},
      {"dropped", dropped_},
      {"missing", missing_},
      {"ms", {{"mean", mean_milliseconds()}, {"p50", percentile(0.5)}, {"p99", percentile(0.99)}}},
      {"mac_fraction", {{"mean", mean_mac_fraction()}}},
      {"state_bytes", stream.state_bytes()},
      {"peak_rss_bytes", peak_rss_bytes()},
      {"labels", labels_},
      {"error", error.empty() ? Json() : Json(error)}};
  const std::string text = stats.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& file) { file << text << '\n'; });
}

}  // namespace voxshift
