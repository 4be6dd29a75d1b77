// The optional parts of the command: shared libraries that are loaded when they are first needed.
#pragma once

namespace voxshift {

/// Whether pictures are drawn by OpenCV. Loads it where it is there.
bool has_opencv();

/// Whether videos can be read and written. Loads OpenCV with its video part where it is there.
bool has_video();

/// Whether there can be a window. Loads Open3D where it is there.
bool has_open3d();

}  // namespace voxshift
