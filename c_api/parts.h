// What of the interface is in this build: VOXSHIFT_PARTS of CMake.
#pragma once

namespace voxshift::c_api {

extern const bool kHasPoints, kHasVideo;

}  // namespace voxshift::c_api
