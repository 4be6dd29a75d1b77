// A box in space: what detectors find and label files hold.
#pragma once

namespace voxshift {

/// An upright box in the frame of the scan: metres, x ahead, y to the left, z up. As in OpenPCDet: the centre is that
/// of the volume, not of the bottom.
struct Box3d {
  float x = 0, y = 0, z = 0;                ///< its centre
  float length = 0, width = 0, height = 0;  ///< along its heading, across it, upright
  float yaw = 0;                            ///< heading, radians about z from x towards y
  float vx = 0, vy = 0;                     ///< metres a second, where they are known
};

}  // namespace voxshift
