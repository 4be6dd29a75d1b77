#include "label_record.h"

#include <voxshift/files/atomic_file.h>
#include <voxshift/files/read_bytes.h>
#include <voxshift/tensor/error.h>
#include <voxshift/tensor/version.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <system_error>

#include "sha256.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;
using RecordJson = nlohmann::ordered_json;

std::string json_text(const RecordJson& document) {
  return document.dump(-1, ' ', false, RecordJson::error_handler_t::replace);
}

/// As JSON has it: a file name need not be UTF-8.
std::string name_in_json(const fs::path& path) {
  return RecordJson::parse(json_text(path.filename().string())).get<std::string>();
}

/// A profile's name; of a file, what is in it.
std::string profile_in_json(const std::string& preprocess) {
  std::error_code ignored;
  if (!fs::is_regular_file(preprocess, ignored)) return preprocess;
  return "sha256:" + sha256(read_bytes(preprocess, "a profile"));
}

bool is_current(const fs::path& file, std::uintmax_t bytes, fs::file_time_type scan_changed) {
  std::error_code error;
  if (fs::file_size(file, error) != bytes || error) return false;
  const fs::file_time_type changed = fs::last_write_time(file, error);
  return !error && changed >= scan_changed;
}

}  // namespace

LabelMaker maker_of(const SegmentOptions& options, DType dtype) {
  RecordJson given{{"dtype", name(dtype)}};
  if (!options.sensor.empty()) given["sensor"] = options.sensor;
  if (options.columns) given["columns"] = *options.columns;
  if (options.remission_scale) given["remission_scale"] = *options.remission_scale;
  if (!options.origin.empty()) given["origin"] = options.origin;
  if (!options.preprocess.empty()) given["preprocess"] = profile_in_json(options.preprocess);
  if (!options.range.empty()) given["range"] = options.range;
  return {name_in_json(options.model), sha256(read_bytes(options.model, "a model")), json_text(given)};
}

void write_record(const fs::path& path, const LabelRecord& record) {
  RecordJson files = RecordJson::object();
  for (const fs::path& file : record.files) files[name_in_json(file)] = fs::file_size(file);
  const auto points = std::accumulate(record.counts.begin(), record.counts.end(), std::int64_t{0});
  const RecordJson document{{"voxshift", version()},
                            {"model", record.maker.model},
                            {"model_sha256", record.maker.model_sha256},
                            {"options", RecordJson::parse(record.maker.options)},
                            {"scan", name_in_json(record.scan)},
                            {"scan_bytes", record.scan_bytes},
                            {"points", points},
                            {"files", files},
                            {"counts", record.counts}};
  write_atomically(path, [&](std::ostream& stream) { stream << json_text(document) << '\n'; });
}

bool is_done(const fs::path& path, const LabelMaker& maker, const fs::path& scan, const std::vector<fs::path>& files) {
  try {
    const auto record = nlohmann::json::parse(read_bytes(path, "a record"));
    const bool same = record.at("voxshift") == version() && record.at("model_sha256") == maker.model_sha256 &&
                      record.at("options") == nlohmann::json::parse(maker.options) &&
                      record.at("scan_bytes") == fs::file_size(scan);
    if (!same) return false;
    const fs::file_time_type changed = fs::last_write_time(scan);
    return std::all_of(files.begin(), files.end(), [&](const fs::path& file) {
      return is_current(file, record.at("files").at(name_in_json(file)).get<std::uintmax_t>(), changed);
    });
  } catch (const Error&) {
    return false;
  } catch (const nlohmann::json::exception&) {
    return false;
  } catch (const fs::filesystem_error&) {
    return false;
  }
}

}  // namespace voxshift
