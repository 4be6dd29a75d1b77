// From labels back to a PointCloud2.
#pragma once

#include <voxshift/ros/cloud_points.h>
#include <voxshift/ros/point_cloud2.h>
#include <voxshift/tasks/classes.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace voxshift::ros {

/// What the message with labels has.
enum class CloudForm {
  kFields,   ///< the message that came, every point and field of it, with a field of labels behind; rows lose padding
  kColoured  ///< the points that were labelled, in one row: x, y, z, rgb (0x00RRGGBB in a float32's bits), label
};

/// What a label is.
enum class LabelIds {
  kTrain,  ///< uint8: the position in the model's table of classes, 255 for a point that was dropped
  kRaw     ///< uint16: the id in the data set's label files, 0 for a point that was dropped
};

struct CloudStyle {
  CloudForm form = CloudForm::kFields;
  LabelIds ids = LabelIds::kTrain;
  std::string field = "label";  ///< name of the labels' field
};

/// The style of these words: "fields" or "coloured", "train" or "raw". Throws InvalidArgument for others.
CloudStyle cloud_style(const std::string& form, const std::string& ids, const std::string& field);

/// Writes messages with labels, one after the other, in memory that is kept.
class LabelledCloud {
 public:
  /// Throws InvalidArgument for an empty field name, one that is x, y, z or rgb, more than 255 classes, and raw ids of
  /// 2^16 and more.
  explicit LabelledCloud(std::span<const ClassInfo> classes, CloudStyle style = {});

  /// The message with labels; for use until the next call. `points` were read from `message`, and labels are train ids,
  /// one of each of them; one that is no class stands for a point that was dropped. kFields keeps height, width and
  /// byte order; a field of that name and type is written over. kColoured is little endian, of 20 bytes a point; its x,
  /// y and z are float32, or, where points have an origin, float64, and 32 bytes a point. Throws InvalidArgument where
  /// these do not belong together, for a field of that name and another type, and for rows of 2^32 bytes and more.
  const PointCloud2& write(const PointCloud2& message, const CloudPoints& points, std::span<const std::uint8_t> labels);

 private:
  void write_fields(const PointCloud2& message, std::span<const std::uint32_t> rows,
                    std::span<const std::uint8_t> labels);
  template <class Coordinate>
  void write_coloured(const CloudPoints& points, std::span<const std::uint8_t> labels);
  std::uint8_t* resize(std::uint32_t height, std::uint32_t width, std::uint64_t step);

  CloudStyle style_;
  PointField label_;                      ///< less its offset
  std::array<std::uint16_t, 256> ids_{};  ///< by train id
  std::array<std::uint32_t, 256> rgb_{};
  std::vector<PointField> fields_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> labels_;  ///< of all points of a message
  PointCloud2 result_;
};

}  // namespace voxshift::ros
