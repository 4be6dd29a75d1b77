#include <voxshift/ros/labelled_cloud.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace voxshift::ros {
namespace {

/// An id as its field has it; 0 of one byte and 1 of two.
void put_id(std::uint16_t id, bool wide, bool is_bigendian, std::uint8_t* to) {
  const auto low = static_cast<std::uint8_t>(id), high = static_cast<std::uint8_t>(id >> 8);
  if (!wide) {
    to[0] = low;
  } else {
    to[0] = is_bigendian ? high : low;
    to[1] = is_bigendian ? low : high;
  }
}

template <class T>
void put(T value, std::uint8_t* to) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace

CloudStyle cloud_style(const std::string& form, const std::string& ids, const std::string& field) {
  check(form == "fields" || form == "coloured", "[cloud2] form expects fields or coloured, found ", form);
  check(ids == "train" || ids == "raw", "[cloud2] ids expects train or raw, found ", ids);
  return {form == "fields" ? CloudForm::kFields : CloudForm::kColoured,
          ids == "train" ? LabelIds::kTrain : LabelIds::kRaw, field};
}

LabelledCloud::LabelledCloud(std::span<const ClassInfo> classes, CloudStyle style) : style_(std::move(style)) {
  check(!style_.field.empty(), "[cloud2] the labels' field expects a name");
  for (const char* taken : {"x", "y", "z", "rgb"})
    check(style_.field != taken, "[cloud2] the labels' field expects a name of its own, found ", taken);
  check(classes.size() <= kUnlabelled, "[cloud2] expects at most 255 classes, found ", classes.size());
  const bool raw = style_.ids == LabelIds::kRaw;
  label_ = {style_.field, 0, raw ? kUint16 : kUint8, 1};
  ids_.fill(raw ? 0 : kUnlabelled);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const ClassInfo& one = classes[c];
    check(!raw || one.raw_id < 1U << 16, "[cloud2] labels of uint16 expect raw ids below 65536, found ", one.raw_id,
          " of ", one.name);
    ids_[c] = static_cast<std::uint16_t>(raw ? one.raw_id : c);
    rgb_[c] = std::uint32_t{one.rgb[0]} << 16 | std::uint32_t{one.rgb[1]} << 8 | one.rgb[2];
  }
}

const PointCloud2& LabelledCloud::write(const PointCloud2& given, const CloudPoints& points,
                                        std::span<const std::uint8_t> labels) {
  const PointCloud2 message = checked(given);
  check(message.points() == points.total(), "[cloud2] expects the message that the points were read from, of ",
        points.total(), " points, found one of ", message.points());
  check(static_cast<std::int64_t>(labels.size()) == points.count(), "[cloud2] labels expects ", points.count(),
        ", one per point, found ", labels.size());
  if (style_.form == CloudForm::kFields) {
    write_fields(message, points.rows(), labels);
  } else if (points.origin() == std::array<double, 3>{}) {
    write_coloured<float>(points, labels);
  } else {
    write_coloured<double>(points, labels);
  }
  return result_;
}

std::uint8_t* LabelledCloud::resize(std::uint32_t height, std::uint32_t width, std::uint64_t step) {
  const std::uint64_t row = width * step;
  check(step < std::uint64_t{1} << 32 && row < std::uint64_t{1} << 32, "[cloud2] expects rows below 2^32 bytes, found ",
        width, " points of ", step);
  bytes_.resize(height * row);
  result_.height = height;
  result_.width = width;
  result_.point_step = static_cast<std::uint32_t>(step);
  result_.row_step = static_cast<std::uint32_t>(row);
  result_.data = bytes_;
  return bytes_.data();
}

void LabelledCloud::write_fields(const PointCloud2& message, std::span<const std::uint32_t> rows,
                                 std::span<const std::uint8_t> labels) {
  const bool wide = label_.datatype == kUint16;
  const PointField* const there = find_field(message, style_.field);
  check(there == nullptr || (there->datatype == label_.datatype && there->count <= 1), "[cloud2] field ", style_.field,
        " is there with another type than ", wide ? "uint16" : "uint8", ": give another name");
  const std::size_t step = message.point_step, offset = there != nullptr ? there->offset : step;
  const std::size_t new_step = there != nullptr ? step : step + (wide ? 2 : 1);
  std::uint8_t* to = resize(message.height, message.width, new_step);
  result_.is_bigendian = message.is_bigendian;
  result_.is_dense = message.is_dense;
  fields_.resize(message.fields.size() + (there != nullptr ? 0 : 1));
  std::ranges::copy(message.fields, fields_.begin());
  if (there == nullptr) {
    fields_.back() = label_;
    fields_.back().offset = message.point_step;
  }
  result_.fields = fields_;
  labels_.assign(static_cast<std::size_t>(message.points()), kUnlabelled);
  for (std::size_t k = 0; k < rows.size(); ++k) labels_[rows[k]] = labels[k];
  for (std::size_t i = 0; i < labels_.size(); ++i, to += new_step) {
    std::memcpy(to, message.data.data() + i / message.width * message.row_step + i % message.width * step, step);
    put_id(ids_[labels_[i]], wide, message.is_bigendian, to + offset);
  }
}

template <class Coordinate>
void LabelledCloud::write_coloured(const CloudPoints& points, std::span<const std::uint8_t> labels) {
  constexpr bool kWide = sizeof(Coordinate) == 8;
  constexpr std::uint32_t kSize = sizeof(Coordinate), kStep = kWide ? 32 : 20;
  const std::uint8_t type = kWide ? kFloat64 : kFloat32;
  check(points.count() < std::int64_t{1} << 31, "[cloud2] expects fewer than 2^31 points, found ", points.count());
  std::uint8_t* to = resize(1, static_cast<std::uint32_t>(points.count()), kStep);
  result_.is_bigendian = false;
  result_.is_dense = true;
  fields_.resize(5);
  fields_[0] = {"x", 0, type, 1};
  fields_[1] = {"y", kSize, type, 1};
  fields_[2] = {"z", 2 * kSize, type, 1};
  fields_[3] = {"rgb", 3 * kSize, kFloat32, 1};
  fields_[4] = label_;
  fields_[4].offset = 3 * kSize + 4;
  result_.fields = fields_;
  std::ranges::fill(bytes_, std::uint8_t{0});  // padding
  const float* from = points.points().data();
  for (const std::uint8_t label : labels) {
    for (std::size_t axis = 0; axis < 3; ++axis)
      put(static_cast<Coordinate>(from[axis] + points.origin()[axis]), to + axis * kSize);
    put(rgb_[label], to + 3 * kSize);
    put_id(ids_[label], label_.datatype == kUint16, false, to + 3 * kSize + 4);
    from += 4;
    to += kStep;
  }
}

}  // namespace voxshift::ros
