// From points to boxes.
#pragma once

#include <voxshift/detection/box_finder.h>
#include <voxshift/engine/session.h>
#include <voxshift/tasks/model.h>
#include <voxshift/tasks/prepare_points.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxshift {

/// What a model's maps mean, as the JSON that its file holds, and back. The latter throws InvalidArgument.
std::string to_text(const DetectionHead& head);
DetectionHead detection_head_from_text(const std::string& text);

/// Cost of the last scan.
struct DetectReport : RunReport {
  std::int64_t points = 0;
  std::int64_t dropped_points = 0;  ///< not finite, outside the range, or beyond the profile's limits
  double voxelize_seconds = 0;      ///< choosing the points; their voxels are the network's affair
  double boxes_seconds = 0;         ///< decoding and suppression
  std::vector<std::string> notes;   ///< what was guessed of the points, a line each
};

/// One user of a model that finds boxes: a session, and what is kept from scan to scan. Not for several threads at
/// once; make one per thread, they share nothing but the model. After the largest scan has been seen nothing but
/// results is allocated.
class Detector {
 public:
  /// The arguments are those of Session. Throws InvalidArgument for a model that has no detection head or profile.
  explicit Detector(const Model& model, Device device = Device::cpu(), const Threads& threads = {},
                    std::optional<DType> dtype = {});
  ~Detector();
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;

  /// The boxes of a scan, best first, on the session's device. points f32 [N, C], C >= 3; columns that the profile
  /// wants and points have not are taken for 0: remission, age. Points on the CPU are prepared as `options` say
  /// (prepare_points.h), and report().notes says what was guessed; those on a CUDA device are taken as they are. Of a
  /// voxel with more points than the profile's max_points the first ones count, of more voxels than max_voxels those
  /// whose points come first. A scan without points in range has no boxes. Throws InvalidArgument for other shapes.
  Detections detect(const Array& points, const PrepareOptions& options = {});

  /// Whether boxes have velocities: [N, 9].
  bool has_velocity() const;

  const DetectReport& report() const;
  const Model& model() const;

  /// What runs the network, for its settings.
  Session& session();
  const Session& session() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace voxshift
