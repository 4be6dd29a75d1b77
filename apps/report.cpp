#include "report.h"

#include <voxshift/files/atomic_file.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "session_json.h"
#include "system.h"

namespace voxshift {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMilli = 1e3;

Json to_json(const ScanStats& stats, const Segmenter& segmenter) {
  const Model& model = segmenter.model();
  Json labels = Json::object();
  for (std::size_t id = 0; id < model.classes().size(); ++id) {
    const std::string& name = model.classes()[id].name;
    if (stats.label_counts[id] > 0) labels[name] = labels.value(name, std::int64_t{0}) + stats.label_counts[id];
  }
  Json document{{"scan", stats.scan.string()},
                {"points", stats.run.points},
                {"dropped_points", stats.run.dropped_points},
                {"voxels", stats.run.voxels}};
  add_session(document, model, segmenter.session(), stats.run.macs);
  document["seconds"] = {{"read", stats.read_seconds},     {"voxelize", stats.run.voxelize_seconds},
                         {"maps", stats.run.maps_seconds}, {"network", stats.run.network_seconds},
                         {"write", stats.write_seconds},   {"total", stats.total_seconds()}};
  document["peak_rss_bytes"] = peak_rss_bytes();
  document["notes"] = stats.run.notes;
  document["labels"] = labels;
  return document;
}

}  // namespace

void print_header() {
  std::printf("%-24s %9s %8s %8s | %7s %9s %7s %9s %7s %9s ms\n", "scan", "points", "dropped", "voxels", "read",
              "voxelize", "maps", "network", "write", "total");
}

void print_scan(const ScanStats& stats) {
  const SegmentReport& run = stats.run;
  std::printf("%-24s %9lld %8lld %8lld | %7.1f %9.1f %7.1f %9.1f %7.1f %9.1f\n", stats.scan.filename().string().c_str(),
              static_cast<long long>(run.points), static_cast<long long>(run.dropped_points),
              static_cast<long long>(run.voxels), stats.read_seconds * kMilli, run.voxelize_seconds * kMilli,
              run.maps_seconds * kMilli, run.network_seconds * kMilli, stats.write_seconds * kMilli,
              stats.total_seconds() * kMilli);
  for (const auto& file : stats.files) std::printf("  -> %s\n", file.string().c_str());
  std::fflush(stdout);
}

void print_layers(const RunReport& report, double peak) {
  int width = 24;
  for (const LayerReport& layer : report.layers) width = std::max(width, static_cast<int>(layer.name.size()));
  std::printf("  %-*s %-26s %5s %8s %5s %5s %9s %10s %9s %11s\n", width, "layer", "op", "dtype", "rows", "in", "out",
              "pairs", "MMAC", "ms", "of f32 peak");
  for (const LayerReport& layer : report.layers) {
    const double fraction = layer.seconds > 0 ? static_cast<double>(layer.macs) / layer.seconds / peak : 0;
    std::printf("  %-*s %-26s %5s %8lld %5lld %5lld %9lld %10.1f %9.2f %10.0f%%\n", width, layer.name.c_str(),
                layer.kind.c_str(), name(layer.dtype), static_cast<long long>(layer.rows),
                static_cast<long long>(layer.in_channels), static_cast<long long>(layer.out_channels),
                static_cast<long long>(layer.pairs), static_cast<double>(layer.macs) / 1e6, layer.seconds * kMilli,
                100 * fraction);
  }
  const double total = static_cast<double>(report.macs);
  std::printf("  %-*s %-26s %5s %8s %5s %5s %9s %10.1f %9.2f %10.0f%%\n", width, "network", "", "", "", "", "", "",
              total / 1e6, report.network_seconds * kMilli, 100 * total / report.network_seconds / peak);
}

void write_stats(const std::filesystem::path& path, const std::vector<ScanStats>& scans, const Segmenter& segmenter) {
  Json list = Json::array();
  for (const ScanStats& stats : scans) list.push_back(to_json(stats, segmenter));
  // A file name need not be UTF-8, JSON must be.
  const std::string text = list.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& stream) { stream << text << '\n'; });
}

void write_run_stats(const std::filesystem::path& path, const Session& session) {
  const RunReport& run = session.report();
  Json layers = Json::array();
  for (const LayerReport& layer : run.layers)
    layers.push_back({{"name", layer.name},
                      {"kind", layer.kind},
                      {"dtype", name(layer.dtype)},
                      {"rows", layer.rows},
                      {"in_channels", layer.in_channels},
                      {"out_channels", layer.out_channels},
                      {"pairs", layer.pairs},
                      {"macs", layer.macs},
                      {"seconds", layer.seconds}});
  const Json stats = {{"rows", run.voxels},
                      {"device", name(session.device())},
                      {"threads", session.threads()},
                      {"dtype", name(session.dtype())},
                      {"macs", run.macs},
                      {"seconds", {{"maps", run.maps_seconds}, {"network", run.network_seconds}}},
                      {"layers", layers}};
  const std::string text = stats.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& stream) { stream << text << '\n'; });
}

void print_error(const char* what) {
  std::string line = std::string("voxshift: ") + what;
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 32 || c == 127; }, ' ');
  std::fprintf(stderr, "%s\n", line.c_str());
}

void print_warning(const std::string& what) { print_error(("warning: " + what).c_str()); }

Progress::Progress(std::size_t total) : total_(total), on_terminal_(errors_are_watched()) {}

void Progress::show(std::size_t done, const std::string& what) {
  if (!on_terminal_) return;
  shown_ = true;
  if (total_ == 0) {
    std::fprintf(stderr, "\r\033[K%zu %s", done, what.c_str());
    return;
  }
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(std::min(done, total_) * kWidth / total_);
  std::fprintf(stderr, "\r\033[K[%.*s%*s] %zu/%zu %s", filled, "##############################", kWidth - filled, "",
               done, total_, what.c_str());
}

void Progress::clear() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace voxshift
