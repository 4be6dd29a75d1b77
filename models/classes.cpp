// The class table of SemanticKITTI.
#include <voxshift/models/classes.h>

namespace voxshift {

const std::vector<ClassInfo>& semantic_kitti_classes() {
  static const std::vector<ClassInfo> classes = {
      {"car", 10, {100, 150, 245}},      {"bicycle", 11, {100, 230, 245}},    {"motorcycle", 15, {30, 60, 150}},
      {"truck", 18, {80, 30, 180}},      {"other-vehicle", 20, {0, 0, 255}},  {"person", 30, {255, 30, 30}},
      {"bicyclist", 31, {255, 40, 200}}, {"motorcyclist", 32, {150, 30, 90}}, {"road", 40, {255, 0, 255}},
      {"parking", 44, {255, 150, 255}},  {"sidewalk", 48, {75, 0, 75}},       {"other-ground", 49, {175, 0, 75}},
      {"building", 50, {255, 200, 0}},   {"fence", 51, {255, 120, 50}},       {"vegetation", 70, {0, 175, 0}},
      {"trunk", 71, {135, 60, 0}},       {"terrain", 72, {150, 240, 80}},     {"pole", 80, {255, 240, 150}},
      {"traffic-sign", 81, {255, 0, 0}},
  };
  return classes;
}

}  // namespace voxshift
