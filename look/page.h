// Scans, their labels and boxes as one HTML file that a browser shows without a network: WebGL, a legend that shows and
// hides classes, a slider over the frames.
#pragma once

#include <voxshift/tasks/classes.h>
#include <voxshift/tensor/box.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace voxshift {

struct PageBox {
  Box3d box;
  std::int32_t class_id = kUnlabelled;  ///< row of the classes
  std::optional<float> score = {};
};

/// What is to be seen at one time; the views must outlive the call that takes it.
struct PageFrame {
  std::string name = {};
  std::optional<double> seconds = {};  ///< when it was, from any beginning
  std::span<const float> points;       ///< [N, columns]: x, y, z in metres less `origin`, remission where has_remission
  std::int64_t columns = 4;            ///< at least 3
  bool has_remission = false;          ///< in any unit; needs 4 columns
  std::array<double, 3> origin{};
  std::span<const std::uint8_t> labels = {};  ///< [N] rows of the classes, kUnlabelled for none; or empty
  std::span<const PageBox> boxes = {};
};

struct PageOptions {
  std::string title = "voxshift";
  std::vector<ClassInfo> classes = {};
  std::int64_t max_points = 3'000'000;  ///< of all frames, 11 bytes of the file each
  std::int64_t max_frames = 300;
};

/// Frames on their way into a page, of which each is held in 8 bytes a point: coordinates in 65536 steps of the frame's
/// bounding box, remission in 256. Where frames or points are more than the options allow, every second of them is left
/// out, as often as needed, evenly and whatever comes later; the counts in the page are of all points.
class Page {
 public:
  /// Throws InvalidArgument for limits below 1.
  explicit Page(PageOptions options = {});
  ~Page();
  Page(Page&&) noexcept;
  Page& operator=(Page&&) noexcept;

  /// Points that are NaN or infinite are left out, and those so far from the others that these would fall into few
  /// steps. Throws InvalidArgument for less than 3 columns, rows that are not whole, and labels that are not one a
  /// point.
  void add(const PageFrame& frame);

  /// What was left out, a line each.
  std::vector<std::string> notes() const;

  /// Throws InvalidArgument for a page without frames.
  void write(std::ostream& stream) const;
  std::string html() const;

  /// Complete or not at all. Throws IoError "FILE: .." where it cannot be written.
  void save(const std::filesystem::path& path) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
