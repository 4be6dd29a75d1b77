#include "label_scan.h"

#include <voxshift/files/read_points.h>

#include <algorithm>
#include <utility>

#include "report.h"

namespace voxshift {
namespace {

/// Columns x, y, z, red, green, blue, as networks on coloured rooms take them.
void take_colours(PointCloud& cloud) {
  const std::int64_t n = cloud.count();
  std::vector<float> points(static_cast<std::size_t>(n) * 6);
  for (std::int64_t i = 0; i < n; ++i) {
    std::copy_n(cloud.points.data() + i * cloud.columns, 3, points.data() + i * 6);
    std::copy_n(cloud.rgb.data() + i * 3, 3, points.data() + i * 6 + 3);
  }
  cloud.points = std::move(points);
  cloud.columns = 6;
}

}  // namespace

PointCloud read_scan(const std::filesystem::path& path, const ScanOptions& options, bool with_colours) {
  std::optional<int> columns = options.columns;
  if (!columns && !options.sensor.empty()) columns = find_sensor(options.sensor).columns;
  PointCloud scan = about(path, [&] { return read_points(path, columns); });
  if (with_colours && scan.columns < 6 && !scan.rgb.empty()) take_colours(scan);
  return scan;
}

PrepareOptions prepare_options(const ScanOptions& options, const PointCloud& cloud) {
  PrepareOptions prepare;
  if (!options.sensor.empty()) prepare.sensor = find_sensor(options.sensor);
  prepare.full_remission = options.remission_scale;
  prepare.frame = cloud.origin;
  if (options.origin.empty()) return prepare;
  prepare.origin.emplace();
  for (std::size_t axis = 0; axis < 3; ++axis) (*prepare.origin)[axis] = options.origin[axis] - cloud.origin[axis];
  return prepare;
}

Array points_of(const PointCloud& scan) {
  return {const_cast<float*>(scan.points.data()), {scan.count(), scan.columns}, DType::kF32, Device::cpu(), nullptr};
}

bool takes_colours(const Model& model) { return model.profile().blocks && model.profile().columns() == 6; }

Model load_point_model(const std::filesystem::path& path) {
  Model model = Model::load(path);
  const InputKind taken = about(path, [&] { return model.graph().input().kind; });
  check<IoError>(taken != InputKind::kFrames, path.string(), ": expected a model that labels points, found ",
                 model.arch(), ", which takes video (`voxshift recognize`)");
  return model;
}

Segmentation label_scan(Segmenter& segmenter, const PointCloud& scan, const ScanOptions& options, bool with_scores) {
  const Segmentation result = segmenter.segment(points_of(scan), with_scores, prepare_options(options, scan));
  return {result.labels.to(Device::cpu()), result.scores.to(Device::cpu())};
}

}  // namespace voxshift
