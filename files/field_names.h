// What files and messages call the fields of points, in lower case: of each list the first that is there is taken.
#pragma once

#include <initializer_list>
#include <string_view>

namespace voxshift {

inline const std::initializer_list<std::string_view> kRemissionNames{"remission",   "intensity", "reflectivity",
                                                                     "reflectance", "i",         "amplitude"};
inline const std::initializer_list<std::string_view> kRingNames{"ring", "channel", "line", "beam"};
inline const std::initializer_list<std::string_view> kTimeNames{"t",       "time",        "timestamp",  "gps_time",
                                                                "gpstime", "offset_time", "time_offset"};

}  // namespace voxshift
