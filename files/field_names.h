// What files and messages call the fields of points, in lower case: of each list the first that is there is taken.
#pragma once

#include <span>
#include <string_view>

namespace voxshift {

inline constexpr std::string_view kRemissionNames[]{"remission",   "intensity", "reflectivity",
                                                    "reflectance", "i",         "amplitude"};
inline constexpr std::string_view kPackedColourNames[]{"rgb", "rgba"};
inline constexpr std::string_view kColourNames[][3]{
    {"red", "green", "blue"}, {"r", "g", "b"}, {"diffuse_red", "diffuse_green", "diffuse_blue"}};
inline constexpr std::string_view kLabelNames[]{"label", "class", "classification"};
inline constexpr std::string_view kRingNames[]{"ring", "channel", "line", "beam"};
inline constexpr std::string_view kTimeNames[]{"t",       "time",        "timestamp",  "gps_time",
                                               "gpstime", "offset_time", "time_offset"};

/// kTimeNames, without t where the points have s: those two are the places of a mesh's points on a picture.
inline std::span<const std::string_view> time_names(bool has_s) {
  return std::span<const std::string_view>(kTimeNames).subspan(has_s ? 1 : 0);
}

}  // namespace voxshift
