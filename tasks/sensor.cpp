#include <voxshift/tasks/sensor.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

const std::vector<Sensor>& known_sensors() {
  constexpr float kOnACar = 1.73f;  // as KITTI's, where a sensor is sold without its car
  constexpr float kVelodyne = 131;  // 16 bits of 2 mm
  constexpr float kWaymo = 77;      // cut at 75 m from the LiDAR, which is 1.4 m ahead of the car's zero
  constexpr float kOuster = 270;    // the most that an OS1 represents
  static const std::vector<Sensor> sensors{{"kitti", 4, 1, kVelodyne, kOnACar},
                                           {"nuscenes", 5, 255, kVelodyne, 1.84f},
                                           {"waymo", 6, 0, kWaymo, 0},
                                           {"ouster", 4, 255, kOuster, kOnACar},
                                           {"livox", 4, 255, 450, kOnACar}};
  return sensors;
}

const Sensor& find_sensor(const std::string& name) {
  std::string known;
  for (const Sensor& sensor : known_sensors()) {
    if (sensor.name == name) return sensor;
    known += (known.empty() ? "" : ", ") + sensor.name;
  }
  throw InvalidArgument("[sensor] expected one of " + known + ", found \"" + name + "\"");
}

}  // namespace voxshift
