#include <voxshift/files/field_names.h>
#include <voxshift/ros/cloud_points.h>
#include <voxshift/tensor/error.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <string_view>

namespace voxshift::ros {
namespace {

static_assert(std::endian::native == std::endian::little, "values are taken as they lie in memory");

/// Whether `name` is `plain`, which has small letters alone, in any case.
bool is_called(std::string_view name, std::string_view plain) {
  return std::ranges::equal(name, plain,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

/// The first of `names` that is there with one value per point; null where none is.
const PointField* first_of(const PointCloud2& message, std::span<const std::string_view> names) {
  for (const std::string_view name : names)
    for (const PointField& field : message.fields)
      if (field.count <= 1 && is_called(field.name, name)) return &field;
  return nullptr;
}

std::string list_of(std::span<const PointField> fields) {
  std::string names;
  for (const PointField& field : fields) names += (names.empty() ? "" : ", ") + field.name;
  return names.empty() ? "none" : names.substr(0, 200);
}

const PointField* axis_of(const PointCloud2& message, std::string_view name) {
  const PointField* const field = first_of(message, std::span(&name, 1));
  if (field == nullptr)
    check(false, "[cloud2] expects fields x, y and z of one value each, found no ", name, " among ",
          list_of(message.fields));
  return field;
}

template <class T>
T value_at(const std::uint8_t* from, bool swapped) {
  std::array<std::uint8_t, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (swapped) std::ranges::reverse(bytes);
  return std::bit_cast<T>(bytes);
}

/// take(i, value) for every point, row by row.
template <class T, class Take>
void each_value(const PointCloud2& message, const PointField& field, const Take& take) {
  std::size_t i = 0;
  if (message.width == 0) return;
  for (std::size_t row = 0; row < message.height; ++row) {
    const std::uint8_t* from = message.data.data() + row * message.row_step + field.offset;
    for (std::size_t column = 0; column < message.width; ++column, from += message.point_step)
      take(i++, value_at<T>(from, message.is_bigendian));
  }
}

/// The same with T of the field's datatype.
template <class Take>
void each_value_of(const PointCloud2& message, const PointField& field, const Take& take) {
  switch (field.datatype) {
    case kInt8:
      return each_value<std::int8_t>(message, field, take);
    case kUint8:
      return each_value<std::uint8_t>(message, field, take);
    case kInt16:
      return each_value<std::int16_t>(message, field, take);
    case kUint16:
      return each_value<std::uint16_t>(message, field, take);
    case kInt32:
      return each_value<std::int32_t>(message, field, take);
    case kUint32:
      return each_value<std::uint32_t>(message, field, take);
    case kFloat32:
      return each_value<float>(message, field, take);
    default:
      return each_value<double>(message, field, take);
  }
}

bool may_be_far(const PointField& field) {
  return field.datatype == kFloat64 || field.datatype == kInt32 || field.datatype == kUint32;
}

/// As CloudPoints::origin() says.
double origin_along(const PointCloud2& message, const PointField& field) {
  constexpr double kFar = 1000, kStep = 100;
  if (!may_be_far(field)) return 0;
  double first = 0;
  bool found = false;
  each_value_of(message, field, [&](std::size_t, auto value) {
    if (found || !std::isfinite(static_cast<double>(value))) return;
    first = static_cast<double>(value);
    found = true;
  });
  return std::abs(first) > kFar ? std::round(first / kStep) * kStep : 0;
}

std::int32_t beam_of(double value) {
  constexpr double kEnd = 2147483648.0;
  return value > -kEnd && value < kEnd ? static_cast<std::int32_t>(value) : -1;
}

template <class T>
void keep(std::vector<T>& values, std::span<const std::uint32_t> rows) {
  if (values.empty()) return;
  for (std::size_t k = 0; k < rows.size(); ++k) values[k] = values[rows[k]];
  values.resize(rows.size());
}

}  // namespace

void CloudPoints::read(const PointCloud2& given) {
  const PointCloud2 message = checked(given);
  const std::array axes{axis_of(message, "x"), axis_of(message, "y"), axis_of(message, "z")};
  const PointField* const remission = first_of(message, kRemissionNames);
  const PointField* const ring = first_of(message, kRingNames);
  const std::string_view s = "s";
  const bool has_s = first_of(message, std::span(&s, 1)) != nullptr;
  const PointField* const time = first_of(message, time_names(has_s));
  total_ = message.points();
  const auto total = static_cast<std::size_t>(total_);
  points_.assign(4 * total, 0.0F);
  ring_.resize(ring != nullptr ? total : 0);
  time_.resize(time != nullptr ? total : 0);
  rows_.reserve(total);
  has_remission_ = remission != nullptr;
  read_coordinates(message, axes);
  if (remission != nullptr)
    each_value_of(message, *remission,
                  [&](std::size_t i, auto value) { points_[4 * i + 3] = static_cast<float>(value); });
  if (ring != nullptr)
    each_value_of(message, *ring, [&](std::size_t i, auto value) { ring_[i] = beam_of(static_cast<double>(value)); });
  if (time != nullptr)
    each_value_of(message, *time, [&](std::size_t i, auto value) { time_[i] = static_cast<double>(value); });
  keep_finite();
}

void CloudPoints::read_coordinates(const PointCloud2& message, const std::array<const PointField*, 3>& axes) {
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double origin = origin_[axis] = origin_along(message, *axes[axis]);
    float* const to = points_.data();
    if (origin == 0) {
      each_value_of(message, *axes[axis],
                    [=](std::size_t i, auto value) { to[4 * i + axis] = static_cast<float>(value); });
    } else {
      each_value_of(message, *axes[axis], [=](std::size_t i, auto value) {
        to[4 * i + axis] = static_cast<float>(static_cast<double>(value) - origin);
      });
    }
  }
}

void CloudPoints::keep_finite() {
  rows_.clear();
  for (std::size_t i = 0; i < static_cast<std::size_t>(total_); ++i) {
    const float* const point = points_.data() + 4 * i;
    if (std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]))
      rows_.push_back(static_cast<std::uint32_t>(i));
  }
  if (dropped() == 0) return;
  for (std::size_t k = 0; k < rows_.size(); ++k)
    std::copy_n(points_.data() + 4 * std::size_t{rows_[k]}, 4, points_.data() + 4 * k);
  points_.resize(4 * rows_.size());
  keep(ring_, rows_);
  keep(time_, rows_);
}

Array CloudPoints::array() { return {points_.data(), {count(), 4}, DType::kF32, Device::cpu(), nullptr}; }

}  // namespace voxshift::ros
