#include <voxshift/models/sensor.h>
#include <voxshift/tensor/error.h>

namespace voxshift {

const std::vector<Sensor>& known_sensors() {
  constexpr float kOnACar = 1.73f;  // as KITTI's, where a sensor is sold without its car
  static const std::vector<Sensor> sensors{{"kitti", 4, 1, 120, kOnACar},
                                           {"nuscenes", 5, 255, 100, 1.84f},
                                           {"waymo", 6, 0, 75, 0},
                                           {"ouster", 4, 255, 120, kOnACar},
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
