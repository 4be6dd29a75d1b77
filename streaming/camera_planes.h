// What the planes of a camera frame hold.
#pragma once

#include <voxshift/streaming/camera_frame.h>

namespace voxshift {

/// A checked frame whose strides are all given.
CameraFrame complete_camera_frame(const CameraFrame& frame);

}  // namespace voxshift
