// The class tables of SemanticKITTI, nuScenes and Waymo.
#include <voxshift/tasks/classes.h>

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

const std::vector<ClassInfo>& nuscenes_classes() {
  static const std::vector<ClassInfo> classes = {
      {"barrier", 1, {112, 128, 144}},
      {"bicycle", 2, {220, 20, 60}},
      {"bus", 3, {255, 127, 80}},
      {"car", 4, {255, 158, 0}},
      {"construction_vehicle", 5, {233, 150, 70}},
      {"motorcycle", 6, {255, 61, 99}},
      {"pedestrian", 7, {0, 0, 230}},
      {"traffic_cone", 8, {47, 79, 79}},
      {"trailer", 9, {255, 140, 0}},
      {"truck", 10, {255, 99, 71}},
      {"driveable_surface", 11, {0, 207, 191}},
      {"other_flat", 12, {175, 0, 75}},
      {"sidewalk", 13, {75, 0, 75}},
      {"terrain", 14, {112, 180, 60}},
      {"manmade", 15, {222, 184, 135}},
      {"vegetation", 16, {0, 175, 0}},
  };
  return classes;
}

const std::vector<ClassInfo>& waymo_classes() {
  static const std::vector<ClassInfo> classes = {
      {"car", 1, {100, 150, 245}},
      {"truck", 2, {80, 30, 180}},
      {"bus", 3, {100, 80, 250}},
      {"other_vehicle", 4, {0, 0, 255}},
      {"motorcyclist", 5, {150, 30, 90}},
      {"bicyclist", 6, {255, 40, 200}},
      {"pedestrian", 7, {255, 30, 30}},
      {"sign", 8, {255, 0, 0}},
      {"traffic_light", 9, {255, 180, 60}},
      {"pole", 10, {255, 240, 150}},
      {"construction_cone", 11, {255, 130, 0}},
      {"bicycle", 12, {100, 230, 245}},
      {"motorcycle", 13, {30, 60, 150}},
      {"building", 14, {255, 200, 0}},
      {"vegetation", 15, {0, 175, 0}},
      {"tree_trunk", 16, {135, 60, 0}},
      {"curb", 17, {130, 130, 170}},
      {"road", 18, {255, 0, 255}},
      {"lane_marker", 19, {255, 150, 255}},
      {"other_ground", 20, {175, 0, 75}},
      {"walkable", 21, {150, 240, 80}},
      {"sidewalk", 22, {75, 0, 75}},
  };
  return classes;
}

std::array<std::uint8_t, 3> spread_colour(std::size_t index) {
  const auto channel = [&](std::size_t phase) {
    return static_cast<std::uint8_t>(60 + (index * 97 + phase * 71) % 180);
  };
  return {channel(0), channel(1), channel(2)};
}

const std::vector<ClassInfo>& kitti_classes() {
  static const std::vector<ClassInfo> classes{
      {"car", 10, {60, 120, 255}}, {"pedestrian", 30, {235, 60, 60}}, {"cyclist", 31, {40, 180, 90}}};
  return classes;
}

const std::vector<ClassInfo>& kitti_classes_by_size() {
  static const std::vector<ClassInfo> classes{kitti_classes()[1], kitti_classes()[2], kitti_classes()[0]};
  return classes;
}

const std::vector<ClassInfo>& nuscenes_detection_classes() {
  static const std::vector<ClassInfo> classes{
      {"car", 1, {255, 158, 0}},         {"truck", 2, {255, 99, 71}},   {"construction_vehicle", 3, {233, 150, 70}},
      {"bus", 4, {255, 69, 0}},          {"trailer", 5, {255, 140, 0}}, {"barrier", 6, {112, 128, 144}},
      {"motorcycle", 7, {255, 61, 99}},  {"bicycle", 8, {220, 20, 60}}, {"pedestrian", 9, {0, 0, 230}},
      {"traffic_cone", 10, {47, 79, 79}}};
  return classes;
}

std::vector<ClassInfo> classes_for(std::size_t count, ClassTables kind) {
  using Tables = std::vector<const std::vector<ClassInfo>*>;
  const std::vector<ClassInfo> car{kitti_classes().front()};
  Tables tables{&semantic_kitti_classes(), &nuscenes_classes(), &waymo_classes()};
  if (kind == ClassTables::kVideo) tables = {&jester_classes(), &kinetics_classes()};
  if (kind == ClassTables::kBoxes) tables = {&car, &kitti_classes(), &nuscenes_detection_classes()};
  for (const auto* known : tables)
    if (count == known->size()) return *known;
  std::vector<ClassInfo> classes;
  for (std::size_t i = 0; i < count; ++i)
    classes.push_back({"class " + std::to_string(i),
                       static_cast<std::uint32_t>(kind == ClassTables::kVideo ? i : i + 1), spread_colour(i)});
  return classes;
}

}  // namespace voxshift
