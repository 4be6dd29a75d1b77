#include "shared_files.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "report.h"

namespace voxshift {
namespace {

std::string page_title(std::span<const std::filesystem::path> scans) {
  if (scans.empty()) return "";
  const std::string first = scans.front().filename().string();
  return scans.size() == 1 ? first : first + " and " + std::to_string(scans.size() - 1) + " more";
}

std::filesystem::path with_ending(const std::filesystem::path& base, const char* ending) {
  return base.string() + ending;
}

void save_page(const Page& page, const std::filesystem::path& path) {
  page.save(path);
  std::printf("  -> %s\n", path.string().c_str());
  std::string notes;
  for (const std::string& note : page.notes()) notes += (notes.empty() ? "" : "; ") + note;
  if (!notes.empty()) print_warning(path.string() + ": " + notes);
}

}  // namespace

SharedFiles::SharedFiles(const std::vector<std::string>& kinds, const std::filesystem::path& out,
                         const std::string& part, std::span<const std::filesystem::path> scans,
                         const std::vector<ClassInfo>& classes)
    : base_(out / (scans.size() == 1 && part.empty() ? scans.front().stem().string() : "scans" + part)) {
  if (std::ranges::count(kinds, "html") > 0) {
    PageOptions options;
    options.title = page_title(scans);
    options.classes = classes;
    page_.emplace(std::move(options));
  }
  if (std::ranges::count(kinds, "rrd") > 0) recording_ = make_rrd(with_ending(base_, ".rrd"), classes);
}

void SharedFiles::add(const std::string& name, const PointCloud& scan, std::span<const std::uint8_t> labels,
                      std::span<const FoundBox> boxes) {
  if (!wanted()) return;
  ++frames_;
  if (recording_) recording_->add(name, scan, labels, boxes);
  if (!page_) return;
  std::vector<PageBox> shown;
  for (const FoundBox& found : boxes) shown.push_back({found.box, found.class_id, found.score});
  PageFrame frame;
  frame.name = name;
  frame.points = scan.points;
  frame.columns = scan.columns;
  frame.has_remission = scan.has_remission;
  frame.origin = scan.origin;
  frame.labels = labels;
  frame.boxes = shown;
  page_->add(frame);
}

void SharedFiles::save() {
  if (frames_ == 0) return;
  if (page_) save_page(*page_, with_ending(base_, ".html"));
  if (!recording_) return;
  recording_->close();
  std::printf("  -> %s\n", with_ending(base_, ".rrd").string().c_str());
}

}  // namespace voxshift
