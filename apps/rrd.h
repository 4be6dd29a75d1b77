// Recordings for rerun's viewer (.rrd). Rerun's library is Python's: the command of the Python package brings what
// writes them, the program by itself has nothing.
#pragma once

#include <voxshift/files/point_cloud.h>
#include <voxshift/tasks/classes.h>
#include <voxshift/tensor/array.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "found_boxes.h"

namespace voxshift {

/// A frame of a video, and what was found and computed of it.
struct RrdFrame {
  std::int64_t number = 0;
  double seconds = 0;
  const Array& pixels;                     ///< u8 [height, width, 3]
  std::span<const std::uint8_t> computed;  ///< [height * width], 1 where the pixel was taken as changed
  std::string label;
  double score = 0, mac_fraction = 0, milliseconds = 0;
};

/// A recording on its way into a file. Members throw IoError "FILE: ..".
class RrdWriter {
 public:
  virtual ~RrdWriter() = default;
  virtual void add(const std::string& name, const PointCloud& scan, std::span<const std::uint8_t> labels,
                   std::span<const FoundBox> boxes) = 0;
  virtual void add(const RrdFrame& frame) = 0;
  /// Gives the file its name; without that nothing stays.
  virtual void close() = 0;
};

using MakeRrd = std::function<std::unique_ptr<RrdWriter>(const std::filesystem::path&, std::span<const ClassInfo>)>;

/// To be called before the command runs.
void set_rrd_maker(MakeRrd maker);

/// Throws BackendUnavailable, which says how to get it, where there is no maker.
std::unique_ptr<RrdWriter> make_rrd(const std::filesystem::path& path, std::span<const ClassInfo> classes);

}  // namespace voxshift
