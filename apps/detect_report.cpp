#include "detect_report.h"

#include <voxshift/files/atomic_file.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "report.h"
#include "session_json.h"
#include "system.h"

namespace voxshift {
namespace {

using Json = nlohmann::ordered_json;

Json detected_to_json(const DetectStats& stats, const Detector& detector) {
  const Model& model = detector.model();
  Json boxes = Json::object();
  for (std::size_t c = 0; c < stats.boxes.size(); ++c)
    if (stats.boxes[c] > 0) boxes[model.classes()[c].name] = stats.boxes[c];
  Json document{
      {"scan", stats.scan.string()}, {"points", stats.run.points}, {"dropped_points", stats.run.dropped_points}};
  add_session(document, model, detector.session(), stats.run.macs);
  document["seconds"] = {{"read", stats.read_seconds},       {"voxelize", stats.run.voxelize_seconds},
                         {"maps", stats.run.maps_seconds},   {"network", stats.run.network_seconds},
                         {"boxes", stats.run.boxes_seconds}, {"write", stats.write_seconds},
                         {"total", stats.total_seconds()}};
  document["peak_rss_bytes"] = peak_rss_bytes();
  document["notes"] = stats.run.notes;
  document["boxes"] = boxes;
  return document;
}

}  // namespace

void print_detect_header() {
  std::printf("%-24s %9s %8s %6s | %7s %9s %7s %9s %7s %7s %9s ms\n", "scan", "points", "dropped", "boxes", "read",
              "voxelize", "maps", "network", "boxes", "write", "total");
}

void print_detected(const DetectStats& stats) {
  constexpr double kMs = 1e3;
  const DetectReport& run = stats.run;
  const std::int64_t boxes = std::accumulate(stats.boxes.begin(), stats.boxes.end(), std::int64_t{0});
  std::printf("%-24s %9lld %8lld %6lld | %7.1f %9.1f %7.1f %9.1f %7.1f %7.1f %9.1f\n",
              stats.scan.filename().string().c_str(), static_cast<long long>(run.points),
              static_cast<long long>(run.dropped_points), static_cast<long long>(boxes), stats.read_seconds * kMs,
              run.voxelize_seconds * kMs, run.maps_seconds * kMs, run.network_seconds * kMs, run.boxes_seconds * kMs,
              stats.write_seconds * kMs, stats.total_seconds() * kMs);
  for (const auto& file : stats.files) std::printf("  -> %s\n", file.string().c_str());
  std::fflush(stdout);
}

void write_detect_stats(const std::filesystem::path& path, const std::vector<DetectStats>& scans,
                        const Detector& detector) {
  Json list = Json::array();
  for (const DetectStats& stats : scans) list.push_back(detected_to_json(stats, detector));
  const std::string text = list.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& stream) { stream << text << '\n'; });
}

}  // namespace voxshift
