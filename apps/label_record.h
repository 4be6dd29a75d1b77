// What is stored beside labels, NAME.label.json: by it a job that was ended goes on where it was. The Python package's
// voxshift.batch writes and reads the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"

namespace voxshift {

/// What decides a scan's labels but the scan and the version.
struct LabelMaker {
  std::string model;         ///< the file's name
  std::string model_sha256;  ///< of its bytes, hexadecimal
  std::string options;       ///< JSON: those that are set, and the dtype that the network computes in
};

LabelMaker maker_of(const SegmentOptions& options, DType dtype);

struct LabelRecord {
  LabelMaker maker;
  std::filesystem::path scan;
  std::uintmax_t scan_bytes;  ///< as it was read
  std::vector<std::filesystem::path> files;
  std::vector<std::int64_t> counts;  ///< points of each class, the last for points without one
};

/// Throws IoError.
void write_record(const std::filesystem::path& path, const LabelRecord& record);

/// Whether the record at `path` is of this maker and version and of the scan, and tells of all these files, which are
/// there in the size that it tells and none older than the scan. A record that cannot be read is none.
bool is_done(const std::filesystem::path& path, const LabelMaker& maker, const std::filesystem::path& scan,
             const std::vector<std::filesystem::path>& files);

}  // namespace voxshift
