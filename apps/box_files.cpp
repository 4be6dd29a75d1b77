#include "box_files.h"

#include <voxshift/files/atomic_file.h>

#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "result_files.h"

namespace voxshift {
namespace {

namespace fs = std::filesystem;

constexpr float kEdgeStep = 0.05f;  // metres between the points of an edge

struct Place {
  float x, y, z;
};

// Corner of the box with signs along its length, width and height.
Place corner_of(const Box3d& box, float l, float w, float h) {
  const float c = std::cos(box.yaw), s = std::sin(box.yaw), dx = l * box.length / 2, dy = w * box.width / 2;
  return {box.x + c * dx - s * dy, box.y + s * dx + c * dy, box.z + h * box.height / 2};
}

// The twelve edges, and the heading: from the middle of the roof to the middle of its front.
std::vector<std::pair<Place, Place>> edges_of(const Box3d& box) {
  std::vector<std::pair<Place, Place>> edges{{corner_of(box, 0, 0, 1), corner_of(box, 1, 0, 1)}};
  for (const float a : {-1.0f, 1.0f})
    for (const float b : {-1.0f, 1.0f}) {
      edges.emplace_back(corner_of(box, -1, a, b), corner_of(box, 1, a, b));
      edges.emplace_back(corner_of(box, a, -1, b), corner_of(box, a, 1, b));
      edges.emplace_back(corner_of(box, a, b, -1), corner_of(box, a, b, 1));
    }
  return edges;
}

std::string kitti_type(std::string name) {
  std::ranges::replace(name, ' ', '_');
  if (!name.empty()) name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return name;
}

}  // namespace

void write_boxes_json(const fs::path& path, const DetectedScan& detected, bool with_velocity) {
  using Json = nlohmann::ordered_json;
  Json boxes = Json::array();
  const std::array<double, 3>& origin = detected.scan.origin;
  for (const FoundBox& found : detected.boxes) {
    const Box3d& b = found.box;
    Json box{{"class", detected.classes[static_cast<std::size_t>(found.class_id)].name},
             {"score", found.score},
             {"center", {b.x + origin[0], b.y + origin[1], b.z + origin[2]}},
             {"size", {b.length, b.width, b.height}},
             {"yaw", b.yaw}};
    if (with_velocity) box["velocity"] = {b.vx, b.vy};
    boxes.push_back(std::move(box));
  }
  const Json document{{"scan", detected.title}, {"boxes", std::move(boxes)}};
  // A file name need not be UTF-8, JSON must be.
  const std::string text = document.dump(2, ' ', false, Json::error_handler_t::replace);
  write_atomically(path, [&](std::ostream& stream) { stream << text << '\n'; });
}

void write_boxes_kitti(const fs::path& path, const DetectedScan& detected, const KittiCalibration& calibration) {
  std::vector<LabelledBox> objects;
  for (const FoundBox& found : detected.boxes) {
    LabelledBox object{};
    object.type = kitti_type(detected.classes[static_cast<std::size_t>(found.class_id)].name);
    object.box = found.box;
    object.score = found.score;
    objects.push_back(std::move(object));
  }
  write_kitti_labels(path, objects, calibration);
}

std::vector<std::uint8_t> labels_of(const DetectedScan& detected) {
  const PointCloud& scan = detected.scan;
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(scan.count()), kUnlabelled);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const float* point = scan.points.data() + i * static_cast<std::size_t>(scan.columns);
    for (const FoundBox& found : detected.boxes) {
      if (!holds(found.box, point)) continue;
      labels[i] = static_cast<std::uint8_t>(found.class_id);
      break;
    }
  }
  return labels;
}

void write_boxes_ply(const fs::path& path, const DetectedScan& detected) {
  PointCloud cloud;
  cloud.columns = detected.scan.columns;
  cloud.origin = detected.scan.origin;
  cloud.points = detected.scan.points;
  std::vector<std::uint8_t> labels = labels_of(detected);
  for (const FoundBox& found : detected.boxes)
    for (const auto& [from, to] : edges_of(found.box)) {
      const float length = std::hypot(to.x - from.x, to.y - from.y, to.z - from.z);
      const int steps = 1 + static_cast<int>(length / kEdgeStep);
      for (int i = 0; i <= steps; ++i) {
        const float t = static_cast<float>(i) / static_cast<float>(steps);
        cloud.points.insert(cloud.points.end(),
                            {from.x + t * (to.x - from.x), from.y + t * (to.y - from.y), from.z + t * (to.z - from.z)});
        cloud.points.resize(cloud.points.size() + static_cast<std::size_t>(cloud.columns - 3));
        labels.push_back(static_cast<std::uint8_t>(found.class_id));
      }
    }
  write_coloured_ply(path, cloud, labels, detected.classes);
}

}  // namespace voxshift
