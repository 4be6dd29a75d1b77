// The files that all scans of a command share: the page of `--write html` and the recording of `--write rrd`.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/look/page.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "found_boxes.h"
#include "rrd.h"

namespace voxshift {

class SharedFiles {
 public:
  /// Those that `kinds`, what the command writes, names: OUT/STEM.html of a single scan, else OUT/scansPART.html.
  /// Throws BackendUnavailable for rrd where this is not the Python package.
  SharedFiles(const std::vector<std::string>& kinds, const std::filesystem::path& out, const std::string& part,
              std::span<const std::filesystem::path> scans, const std::vector<ClassInfo>& classes);

  /// Whether `kind` is one of them; others are files of each scan.
  static bool has(const std::string& kind) { return kind == "html" || kind == "rrd"; }

  bool wanted() const { return page_ || recording_; }

  /// Takes a labelled scan, and the boxes found in it; does nothing where none is wanted.
  void add(const std::string& name, const PointCloud& scan, std::span<const std::uint8_t> labels,
           std::span<const FoundBox> boxes = {});

  /// Writes them, unless no scan came through, and says where they are, and what the page leaves out. Throws IoError.
  void save();

 private:
  std::filesystem::path base_;  // without the ending
  std::optional<Page> page_;
  std::unique_ptr<RrdWriter> recording_;
  std::size_t frames_ = 0;
};

}  // namespace voxshift
