// Between sensor_msgs' generated class, or any with its members, and the plain types: templates, so that ROS is not
// needed.
#pragma once

#include <voxshift/ros/point_cloud2.h>

#include <vector>

namespace voxshift::ros {

/// A view of a message; `fields` keeps its fields, in memory that is used again. For as long as both stay.
template <class Message>
PointCloud2 view_of(const Message& message, std::vector<PointField>& fields) {
  fields.resize(message.fields.size());
  for (std::size_t f = 0; f < fields.size(); ++f) {
    const auto& field = message.fields[f];
    fields[f].name = field.name;
    fields[f].offset = field.offset;
    fields[f].datatype = field.datatype;
    fields[f].count = field.count;
  }
  return {message.height,     message.width,    fields,       static_cast<bool>(message.is_bigendian),
          message.point_step, message.row_step, message.data, static_cast<bool>(message.is_dense)};
}

/// Writes all but the header.
template <class Message>
void assign(const PointCloud2& from, Message& message) {
  message.height = from.height;
  message.width = from.width;
  message.fields.resize(from.fields.size());
  for (std::size_t f = 0; f < from.fields.size(); ++f) {
    auto& field = message.fields[f];
    field.name = from.fields[f].name;
    field.offset = from.fields[f].offset;
    field.datatype = from.fields[f].datatype;
    field.count = from.fields[f].count;
  }
  message.is_bigendian = from.is_bigendian;
  message.point_step = from.point_step;
  message.row_step = from.row_step;
  message.data.assign(from.data.begin(), from.data.end());
  message.is_dense = from.is_dense;
}

}  // namespace voxshift::ros
