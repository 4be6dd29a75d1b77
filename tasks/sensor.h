// What the files of a LiDAR hold.
#pragma once

#include <string>
#include <vector>

namespace voxshift {

struct Sensor {
  std::string name;
  int columns;  ///< float32 values of a .bin row
  float
      full_remission;  ///< what stands for a perfect reflector, 0 where nothing bounds it and tanh(remission) is taken
  float range;         ///< metres along the ground; what lies further is no return of it
  float height;        ///< metres of the coordinates' origin over the ground
};

/// "kitti" (HDL-64E), "nuscenes" (HDL-32E), "waymo" (five LiDARs, in the frame of the car, that lies on the road),
/// "ouster" (OS1, reflectivity), "livox" (Avia). docs/scans.md has the table.
const std::vector<Sensor>& known_sensors();

/// Throws InvalidArgument, which names those that are known.
const Sensor& find_sensor(const std::string& name);

}  // namespace voxshift
