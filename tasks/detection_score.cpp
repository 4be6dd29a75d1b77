#include <voxshift/tasks/detection_score.h>
#include <voxshift/tensor/error.h>

#include <algorithm>

#include "detection_inputs.h"

namespace voxshift {

void check_scans(std::span<const ScoredScan> scans, double max_distance) {
  check(max_distance > 0, "[detection_score] expects max_distance > 0, found ", max_distance);
  for (std::size_t i = 0; i < scans.size(); ++i) {
    const ScoredScan& scan = scans[i];
    check(scan.points.empty() || scan.points.size() == scan.truths.size(),
          "[detection_score] expects the points of every truth, found ", scan.points.size(), " numbers for ",
          scan.truths.size(), " truths of scan ", i);
    const auto bad = std::ranges::find_if(scan.predictions, [](const auto& box) { return !std::isfinite(box.score); });
    check(bad == scan.predictions.end(),
          "[detection_score] expects a finite score of every prediction, which has none at ",
          bad - scan.predictions.begin(), " of scan ", i);
  }
}

bool same_type(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::vector<std::int64_t> points_in_boxes(const Array& points, std::span<const LabelledBox> objects) {
  check(points.rank() == 2 && points.dim(1) >= 3 && points.dtype() == DType::kF32 && points.device() == Device::cpu(),
        "[points_in_boxes] expects points f32 [N, C], C >= 3, on the CPU, found ", name(points.dtype()), " ",
        points.shape());
  std::vector<std::int64_t> counts;
  for (const LabelledBox& object : objects) {
    const Box3d& box = object.box;
    const double c = std::cos(static_cast<double>(box.yaw)), s = std::sin(static_cast<double>(box.yaw));
    std::int64_t inside = 0;
    const float* xyz = points.data<float>();
    for (std::int64_t i = 0; i < points.dim(0); ++i, xyz += points.dim(1)) {
      const double dx = static_cast<double>(xyz[0]) - box.x, dy = static_cast<double>(xyz[1]) - box.y;
      const double dz = static_cast<double>(xyz[2]) - box.z;
      inside += 2 * std::abs(c * dx + s * dy) <= box.length && 2 * std::abs(c * dy - s * dx) <= box.width &&
                2 * std::abs(dz) <= box.height;
    }
    counts.push_back(inside);
  }
  return counts;
}

}  // namespace voxshift
